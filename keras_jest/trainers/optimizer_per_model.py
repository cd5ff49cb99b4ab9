"""One optimizer for each of several models that are trained at once."""

import keras
from keras import ops

from keras_jest.trainers.holding import holding

# What Keras, callbacks and users read from an optimizer.
SETTINGS = (
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "gradient_accumulation_steps",
)


def optimizer_per_model(model, optimizer, online=None, reference=None):
    """The optimizer of a `SelectingModel` and of what is trained beside.

    Args:
        model: a `SelectingModel`.
        optimizer: the learner's, a Keras optimizer or its name.
        online: the online model's, by default a copy of the learner's.
        reference: the reference's, by default a copy of the learner's.

    Returns:
        A Keras optimizer: the learner's itself if it is trained alone.

    Raises:
        ValueError: if there is an optimizer for what is not trained, one for
            two models, or one that scales losses by itself.
    """
    optimizer = keras.optimizers.get(optimizer)
    optimizers = {"optimizer": optimizer}
    asked = {"online model": online, "reference": reference}
    for role, other in asked.items():
        if role in model.roles.trained_beside:
            name = f"{role.split()[0]}_optimizer"
            other = other or copy_of(optimizer, name)
            optimizers[name] = keras.optimizers.get(other)
        elif other is not None:
            raise ValueError(
                f"There is an optimizer for the {role}, which is not trained. "
                f"Received: {other}. Leave it out; or give `ClassAct` an "
                "online model, or a reference with train_reference=True."
            )
    models = [model.learner, *model.roles.trained_beside.values()]
    if len(models) == 1:
        return optimizer
    check_optimizers(optimizers)
    return OptimizerPerModel(
        optimizers, lambda: [of.trainable_variables for of in models]
    )


def copy_of(optimizer, name):
    try:
        config = optimizer.get_config()
        return type(optimizer).from_config({**config, "name": name})
    except Exception as error:
        raise ValueError(
            f"There is no `{name}`, and the learner's optimizer cannot be "
            f"copied: {error} Pass `{name}` to `compile`. "
            f"Received: optimizer={optimizer}"
        ) from error


def check_optimizers(optimizers):
    """Raise if optimizers that step at once would disturb each other."""
    if len({id(of) for of in optimizers.values()}) < len(optimizers):
        raise ValueError(
            "Each model needs an optimizer of its own, with a state of its "
            f"own. Received the same one twice: {optimizers}"
        )
    for name, of in optimizers.items():
        scales = isinstance(of, keras.optimizers.LossScaleOptimizer)
        if scales or getattr(of, "loss_scale_factor", None):
            raise ValueError(
                "Models that are trained at once share one loss, so that none "
                "of their optimizers may scale it alone. Pass plain "
                "optimizers; under 'mixed_float16' Keras scales the loss of "
                f"all (`auto_scale_loss`). Received: {name}={of}"
            )


class OptimizerPerModel(keras.optimizers.Optimizer):
    """Gives every model's gradients to its own optimizer.

    Keras trains a model with one optimizer, and keeps the state of one in
    JAX's steps and in `.keras` files. This one is several: each clips, decays
    and counts as if its model were trained alone. One thing they share: under
    `mixed_float16` there is one loss scale, and a step in which one model
    overflows is skipped by all.

    Args:
        optimizers: dict of Keras optimizers by their names in `compile`.
            Callbacks see the settings, the learning rate and the iterations
            of the first; to set that rate multiplies all rates by the same
            number, also where it was 0 meanwhile.
            `keras.callbacks.SwapEMAWeights` swaps the weights of all, where
            all have `use_ema=True`.
        variables_of_each: function without arguments that returns, for each
            optimizer, the list of variables it trains.
    """

    def __init__(self, optimizers, variables_of_each):
        super().__init__(learning_rate=0.0, name="optimizer_per_model")
        self.names = list(optimizers)
        self.each = list(optimizers.values())
        self.variables_of_each = variables_of_each
        self.rate_ratios = [1.0] * len(self.each)
        # Rates that a schedule or a function makes cannot be set.
        if all(
            isinstance(of._learning_rate, keras.Variable) for of in self.each
        ):
            self._note_rate_ratios()
        for name in SETTINGS:
            setattr(self, name, getattr(self.each[0], name))

    def build(self, variables):
        place = {id(variable): row for row, variable in enumerate(variables)}
        groups = self.variables_of_each()
        self.rows = [[place[id(of)] for of in group] for group in groups]
        for optimizer, group in zip(self.each, groups, strict=True):
            optimizer.build(group)
        # Each has made the variables for its settings.
        with holding(self, use_ema=False, gradient_accumulation_steps=None):
            super().build(variables)

    def get_config(self):
        """Those of the optimizers by their names, for `compile`."""
        serialize = keras.saving.serialize_keras_object
        pairs = zip(self.names, self.each, strict=True)
        return {name: serialize(optimizer) for name, optimizer in pairs}

    def save_own_variables(self, store):
        """Nothing: Keras saves those of each optimizer by itself."""

    def load_own_variables(self, store):
        """Nothing: Keras loads those of each optimizer by itself."""

    def apply(self, grads, trainable_variables=None):
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        trainable_variables = list(trainable_variables)
        if not self.built:
            self.build(trainable_variables)
        for optimizer, rows in zip(self.each, self.rows, strict=True):
            optimizer.apply(
                [grads[row] for row in rows],
                [trainable_variables[row] for row in rows],
            )

    @property
    def variables(self):
        own = [of.variables for of in self.each]
        return [*self._variables, *sum(own, [])]

    @property
    def _model_variables_moving_average(self):
        """What `SwapEMAWeights` swaps, in the order of the variables."""
        averages = [None] * len(self._trainable_variables)
        for optimizer, rows in zip(self.each, self.rows, strict=True):
            if not optimizer.use_ema:
                raise ValueError(self._explained_ema())
            own = optimizer._model_variables_moving_average
            for row, average in zip(rows, own, strict=True):
                averages[row] = average
        return averages

    def _explained_ema(self):
        pairs = zip(self.names, self.each, strict=True)
        received = [f"{name}.use_ema={of.use_ema}" for name, of in pairs]
        return (
            "Weights can be swapped with their moving averages where the "
            "optimizer of each model that is trained keeps them. Received: "
            f"{', '.join(received)}. Pass optimizers with `use_ema=True` to "
            "`compile`."
        )

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        for optimizer in self.each:
            optimizer.exclude_from_weight_decay(var_list, var_names)

    def set_weights(self, weights):
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(weight)

    @property
    def learning_rate(self):
        return self.each[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self._note_rate_ratios()
        for optimizer, ratio in zip(self.each, self.rate_ratios, strict=True):
            optimizer.learning_rate = ratio * learning_rate

    def _note_rate_ratios(self):
        """Keep what each rate is of the first, which 0 says nothing of."""
        rates = [
            float(ops.convert_to_numpy(of.learning_rate)) for of in self.each
        ]
        if rates[0]:
            self.rate_ratios = [rate / rates[0] for rate in rates]

    @property
    def iterations(self):
        return self.each[0].iterations

    def finalize_variable_values(self, var_list):
        for optimizer, rows in zip(self.each, self.rows, strict=True):
            optimizer.finalize_variable_values([var_list[row] for row in rows])
