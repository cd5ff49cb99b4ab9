"""The weights of one step ago, for scorers that lag behind."""

import contextlib

import keras
from keras import ops


class PreviousWeights(keras.layers.Layer):
    """Remembers what scorers weighed before their latest update.

    A scorer that works while the learner trains, as the actors of the paper
    do, knows no newer weights than these. Only weights are kept, never rows:
    every super-batch is trained on when it comes, whatever came before it.

    Args:
        delay: int, 0 or 1, of how many steps ago. With 0 nothing is kept,
            and nothing is looked at with other weights than the present.
        **kwargs: as for every layer.

    Reference:
        - [Evans et al., 2023](https://arxiv.org/abs/2312.05328), on actors.
    """

    def __init__(self, delay, **kwargs):
        super().__init__(**kwargs)
        self.delay = delay
        self.copies = []
        if delay:
            self.num_stored = self.add_weight(
                shape=(), dtype="int", trainable=False, name="num_stored"
            )
        self.built = True

    def make(self, models):
        """Make room for all weights, once the models have them."""
        are_built = all(model.built for model in models)
        if self.copies or not (self.delay and are_built):
            return
        for number, weight in enumerate(weights_of(models)):
            copy = self.add_weight(
                shape=weight.shape,
                dtype=weight.dtype,
                initializer="zeros",
                trainable=False,
                name=f"copy_{number}",
            )
            self.copies.append(copy)

    def looking(self, look, model, models):
        """`look`, one of `looks`, as it was before the last step.

        Args:
            look: a look of `model`.
            model: Keras model.
            models: list of Keras models, those of `make`.

        Returns:
            A look. In the first step, which has none before it, and without
            a delay it is `look`.
        """
        if not self.delay:
            return look

        def look_back(inputs):
            with self._in_place_of_present(models, model.variables):
                return look(inputs)

        return look_back

    @contextlib.contextmanager
    def _in_place_of_present(self, models, variables):
        """Let variables have the values from before the last step.

        All that are read within must be given: the scope hides that in which
        JAX holds their values.
        """
        values = {id(variable): variable.value for variable in variables}
        for copy, weight in self._pairs(models):
            present = values.get(id(weight))
            if present is not None:
                before = ops.where(self.num_stored > 0, copy.value, present)
                values[id(weight)] = before
        pairs = [(of, values[id(of)]) for of in variables]
        with keras.StatelessScope(pairs):
            yield

    def store(self, models):
        """Take the present weights, before they are updated."""
        if not self.delay:
            return
        for copy, weight in self._pairs(models):
            copy.assign(weight.value)
        self.num_stored.assign(1)

    def _pairs(self, models):
        return zip(self.copies, weights_of(models), strict=True)


def weights_of(models):
    return [weight for model in models for weight in model.weights]
