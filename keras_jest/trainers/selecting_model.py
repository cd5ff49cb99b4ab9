"""What every model that selects what it trains on has in common."""

import random

import keras
from keras import ops

from keras_jest.models.model_inputs import build_from_batch
from keras_jest.models.model_inputs import model_inputs
from keras_jest.selection import policies
from keras_jest.trainers import backend
from keras_jest.trainers.compile_checks import check_first_super_batch
from keras_jest.trainers.compile_checks import check_loss
from keras_jest.trainers.compile_checks import check_loss_weights
from keras_jest.trainers.compile_checks import check_policy
from keras_jest.trainers.compile_checks import check_schedule
from keras_jest.trainers.compile_checks import check_seed
from keras_jest.trainers.data_loaders import with_tuples
from keras_jest.trainers.holding import holding
from keras_jest.trainers.scoring import explained_sizes
from keras_jest.trainers.select_rows import select_rows
from keras_jest.trainers.selection_metrics import SelectionMetrics


class SelectingModel(keras.Model):
    """Runs a policy on each super-batch and trains on what it keeps.

    A subclass may override `scorers`, the models that give its policy losses.

    Args:
        learner: Keras model, the one to train.
        reference: Keras model or `None`; it is frozen.
        seed: int or `None`, as in `keras_jest.JESTModel`.
        policy: layer or `None`, as in `keras_jest.JESTModel`.
        name: str, the name of the model.
        **kwargs: further arguments of `keras.Model`.
    """

    def __init__(self, learner, reference, seed, policy, name, **kwargs):
        # Pairs are float32 under every dtype policy.
        kwargs.setdefault("autocast", False)
        super().__init__(name=name, **kwargs)
        check_seed(seed)
        self.learner = learner
        self.reference = reference
        self._freeze_reference()
        self.seed = random.randrange(2**31) if seed is None else int(seed)
        self.policy = policy
        if policy is not None:
            policy.built = True  # Nobody calls it: its variables exist.
        self.draws = self.add_weight(
            shape=(), dtype="int", trainable=False, name="draws"
        )
        self.selection_metrics = SelectionMetrics(name="selection_metrics")
        self.selection = self.compiled_selection = None
        self.score_loss = self.scoring_batch_size = self.last_step = None
        self.first_step = 0
        self.recorder = None
        self._is_evaluating = False
        self._saw_super_batch = False

    @property
    def scorers(self):
        """The model behind each name that a policy may need."""
        return {"learner": self.learner, "reference": self.reference}

    def call(self, inputs, training=None):
        if self.reference is not None and not self.reference.built:
            # JAX needs all variables to exist before the first step.
            build_from_batch(self.reference, inputs)
        own_inputs = model_inputs(self.learner, inputs, "learner")
        return self.learner(own_inputs, training=training)

    def compile(
        self,
        optimizer="adam",
        loss=None,
        selection="joint",
        score_loss=None,
        first_step=0,
        last_step=None,
        scoring_batch_size=None,
        **kwargs,
    ):
        """Configure training and selection.

        Args:
            optimizer: as in `keras.Model.compile`.
            loss: `keras.losses.Loss` with one value per example, such as
                `keras_jest.losses.SigmoidContrastiveLoss()`.
            selection: `"joint"`, `"independent"`, `"uniform"`, a
                `keras_jest.SelectionPolicy`, or `None` for plain training.
            score_loss: loss for scoring, where it is not the training loss.
            first_step: int, the first step in which rows are selected by
                their scores. Before it, the same number is drawn
                uniformly, and nothing is scored: rows that are not finite
                go unnoticed.
                Steps are counted over all calls of `fit` that select.
            last_step: int or `None`, the step before which selection by
                score ends; `None` is never.
            scoring_batch_size: int or `None`. At how many rows the models
                look at a time when they score, to bound memory. `None` is
                the whole super-batch.
            **kwargs: further arguments of `keras.Model.compile`.

        Raises:
            ValueError: if the loss has no value per example, the policy
                needs a reference and there is none, or a number is out of
                range.
        """
        check_loss(
            loss,
            score_loss,
            kwargs.get("metrics") or kwargs.get("weighted_metrics"),
        )
        check_loss_weights(kwargs.get("loss_weights"))
        check_schedule(first_step, last_step, scoring_batch_size)
        self.first_step = first_step
        self.last_step = last_step
        self.score_loss = score_loss
        self.scoring_batch_size = scoring_batch_size
        self.selection = self.compiled_selection = self._checked(selection)
        self._freeze_reference()
        super().compile(optimizer=optimizer, **kwargs)
        # Not given to Keras, which would look for one loss per output.
        self.loss = loss

    def train_step(self, *args):
        return backend.train_step(self, super().train_step, *args)

    def make_train_function(self, force=False):
        if force or self.train_function is None:
            keras_make = super().make_train_function
            self.train_function = backend.make_train_function(self, keras_make)

    def fit(self, x=None, *args, selection="compiled", **kwargs):
        """Train, as `keras.Model.fit` does, on what is selected from `x`.

        Args:
            x: dataset of super-batches: `tf.data`, grain, `PyDataset`, torch
                `DataLoader`, a generator of `(dict,)`, or NumPy arrays with
                `batch_size` as the size of the super-batch.
            *args: further arguments of `keras.Model.fit`.
            selection: a policy or its name for this call alone, `None` for
                plain training on whole super-batches, or `"compiled"`.
            **kwargs: further arguments of `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: if the policy needs a reference and there is none,
                the first super-batch has fewer rows than the policy keeps,
                the batches lack an input of a model, or too few rows of a
                super-batch are finite.
        """
        if "validation_data" in kwargs:
            kwargs["validation_data"] = with_tuples(kwargs["validation_data"])
        self._freeze_reference()
        # An interrupted run does not tell callbacks that it ends.
        held = {"recorder": self.recorder}
        if selection != "compiled":
            held["selection"] = self._checked(selection)
            held["train_function"] = None
        with explained_sizes(), holding(self, **held):
            if self.train_function is None:
                self._saw_super_batch = False
            history = super().fit(with_tuples(x), *args, **kwargs)
        self.selection_metrics.check_repeated_rows()
        return history

    def reset_metrics(self):
        # An epoch that begins or an evaluation would hide them.
        self.selection_metrics.check_repeated_rows()
        super().reset_metrics()

    def train_on_batch(self, *args, **kwargs):
        self._freeze_reference()
        with explained_sizes():
            logs = super().train_on_batch(*args, **kwargs)
        self.selection_metrics.check_repeated_rows()
        return logs

    def select(self, data):
        """Turn a super-batch into a sub-batch and what is told of it."""
        if self.selection is None:
            return data, {}
        if not self._saw_super_batch:
            check_first_super_batch(self.selection, data)
            self._saw_super_batch = True
        return select_rows(self, data)

    def report(self, logs):
        """Take what is not for callbacks out of a step's logs."""
        logs = dict(logs)
        chosen = logs.pop("chosen")
        if self.recorder is not None and chosen:
            self.recorder(chosen)
        return logs

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del x, training
        # Keras cannot convert None to a tensor.
        loss = self.loss(() if y is None else y, y_pred, sample_weight)
        return sum((ops.sum(added) for added in self.losses), loss)

    def get_metrics_result(self):
        logs = super().get_metrics_result()
        is_selecting = self.selection is not None and not self._is_evaluating
        return self.selection_metrics.visible(logs, is_selecting)

    def evaluate(self, x=None, *args, **kwargs):
        with explained_sizes(), holding(self, _is_evaluating=True):
            return super().evaluate(with_tuples(x), *args, **kwargs)

    def test_on_batch(self, *args, **kwargs):
        with holding(self, _is_evaluating=True):
            return super().test_on_batch(*args, **kwargs)

    def predict(self, x, *args, **kwargs):
        with explained_sizes():
            return super().predict(with_tuples(x), *args, **kwargs)

    @property
    def is_scheduled(self):
        return self.first_step > 0 or self.last_step is not None

    def _freeze_reference(self):
        # `model.trainable = True` thaws all that is in a model.
        if self.reference is not None:
            self.reference.trainable = False

    def _checked(self, selection):
        policy = policies.get(selection)
        check_policy(policy, self, self.is_scheduled)
        return policy

    def get_compile_config(self):
        if not self.compiled:
            return {}
        config = super().get_compile_config()
        selection = self.compiled_selection
        serialize = keras.saving.serialize_keras_object
        config.update(
            loss=serialize(self.loss),
            score_loss=serialize(self.score_loss),
            selection="policy"
            if selection is not None and selection is self.policy
            else serialize(selection),
            first_step=self.first_step,
            last_step=self.last_step,
            scoring_batch_size=self.scoring_batch_size,
        )
        return config

    def compile_from_config(self, config):
        config = keras.saving.deserialize_keras_object(config)
        if config["selection"] == "policy":
            config["selection"] = self.policy
        self.compile(**config)
        if self.built:
            self.optimizer.build(self.trainable_variables)
