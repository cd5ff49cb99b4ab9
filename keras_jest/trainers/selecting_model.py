"""What every model that selects what it trains on has in common."""

import random

import keras
from keras import ops

from keras_jest.data.position import take_position
from keras_jest.data.position import without_position
from keras_jest.data.replay import Replay
from keras_jest.models.first_batch import checks_first_batch
from keras_jest.models.model_inputs import model_inputs
from keras_jest.selection import policies
from keras_jest.trainers import backend
from keras_jest.trainers import model_config
from keras_jest.trainers.compile_checks import check_constructor
from keras_jest.trainers.compile_checks import check_first_super_batch
from keras_jest.trainers.compile_checks import check_loss
from keras_jest.trainers.compile_checks import check_policy
from keras_jest.trainers.compile_checks import check_schedule
from keras_jest.trainers.data_loaders import in_recorded_order
from keras_jest.trainers.data_loaders import with_tuples
from keras_jest.trainers.fits import fit_of
from keras_jest.trainers.holding import holding
from keras_jest.trainers.labels import check_count
from keras_jest.trainers.labels import check_labels
from keras_jest.trainers.labels import num_classes
from keras_jest.trainers.models_that_look import models_that_look
from keras_jest.trainers.optimizer_per_model import optimizer_per_model
from keras_jest.trainers.previous_weights import PreviousWeights
from keras_jest.trainers.roles import Roles
from keras_jest.trainers.saving_checks import warn_of_lambda
from keras_jest.trainers.scoring import explained_sizes
from keras_jest.trainers.select_rows import select_rows
from keras_jest.trainers.selection_metrics import SelectionMetrics
from keras_jest.trainers.trained_beside import carried
from keras_jest.trainers.trained_beside import loss_of
from keras_jest.trainers.trained_beside import with_losses_beside


@checks_first_batch(models_that_look)
class SelectingModel(keras.Model):
    """Runs a policy on each super-batch and trains on what it keeps.

    Its arguments are those of `keras_jest.ClassAct`, which differs from other
    subclasses in what it is told of and compiled with, and in no computation.
    """

    shows_spread = False

    def __init__(
        self,
        learner,
        online=None,
        reference=None,
        train_reference=False,
        seed=None,
        policy=None,
        score_delay=0,
        name=None,
        **kwargs,
    ):
        check_constructor(
            {"learner": learner, "online": online, "reference": reference},
            train_reference,
            seed,
            score_delay,
        )
        # Pairs are float32 under every dtype policy.
        kwargs.setdefault("autocast", False)
        super().__init__(name=name, **kwargs)
        self.learner = learner
        self.online = online
        self.reference = reference
        self.train_reference = train_reference
        self._freeze_reference()
        self.seed = random.randrange(2**31) if seed is None else int(seed)
        self.policy = policy
        if policy is not None:
            policy.built = True  # Nobody calls it: its variables exist.
        self.draws = self.add_weight(
            shape=(), dtype="int", trainable=False, name="draws"
        )
        self.selection_metrics = SelectionMetrics(
            self.shows_spread, name="selection_metrics"
        )
        self.score_delay = score_delay
        if score_delay:
            self.previous_weights = PreviousWeights()
            # Those of a model from a file must exist before it is read.
            self.previous_weights.make(self.roles.trained_scorers)
        self.selection = self.compiled_selection = None
        self.score_loss = self.scoring_batch_size = self.last_step = None
        self.first_step = 0
        self.recorders = self.position_recorders = ()
        self._labels_outside = None
        self._is_evaluating = False
        self._saw_super_batch = False
        self.saved_states = {}
        # Else `load_weights` and `BackupAndRestore` refuse.
        self.built = self.roles.are_built

    @property
    def roles(self):
        return Roles(
            self.learner, self.online, self.reference, self.train_reference
        )

    def call(self, inputs, training=None):
        inputs, _ = carried(without_position(inputs)[0])
        self._build_all(inputs)
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
        online_optimizer=None,
        reference_optimizer=None,
        **kwargs,
    ):
        """Configure training and selection.

        Args:
            optimizer: the learner's, as in `keras.Model.compile`.
            loss: `keras.losses.Loss` with one value per example, such as
                `keras_jest.losses.SigmoidContrastiveLoss()`.
            selection: `"joint"`, `"independent"`, `"uniform"`, a
                `keras_jest.SelectionPolicy`, or `None` for plain training.
            score_loss: loss for scoring, where it is not the training loss.
            first_step: int, the first step in which rows are selected by
                their scores. Before it, the same number is drawn
                uniformly, and nothing is scored: rows that are not finite
                go unnoticed. Steps are counted over all calls of `fit` that
                select.
            last_step: int or `None`, the step before which selection by
                score ends; `None` is never.
            scoring_batch_size: int or `None`. At how many rows the models
                look at a time when they score, to bound memory. `None` is
                the whole super-batch.
            online_optimizer: that of an online model; by default a copy of
                the learner's, without what is excluded from weight decay.
            reference_optimizer: that of a reference that is trained; by
                default a copy of the learner's.
            **kwargs: further arguments of `keras.Model.compile`.

        Raises:
            ValueError: if the loss has no value per example, the policy
                needs a reference and there is none, a number is out of
                range, or an optimizer is for what is not trained.
        """
        metrics = kwargs.get("metrics") or kwargs.get("weighted_metrics")
        check_loss(loss, score_loss, kwargs.get("loss_weights"), metrics)
        check_schedule(first_step, last_step, scoring_batch_size)
        self.first_step = first_step
        self.last_step = last_step
        self.score_loss = score_loss
        self.scoring_batch_size = scoring_batch_size
        checked = self._checked(selection, score_loss or loss)
        self.selection = self.compiled_selection = checked
        warn_of_lambda(self, checked)
        self._freeze_reference()
        optimizer = optimizer_per_model(
            self, optimizer, online_optimizer, reference_optimizer
        )
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
        check_labels(self, args[0] if args else kwargs.get("y"))
        # A run that broke off has left its faults, and callbacks unaware.
        self.selection_metrics.forget_faults()
        held = {"recorders": self.recorders, "_labels_outside": None}
        if selection != "compiled":
            loss = self.score_loss or self.loss
            held["selection"] = self._checked(selection, loss)
            held["train_function"] = None
        with explained_sizes(), holding(self, **held):
            if self.train_function is None:
                self._saw_super_batch = False
            if isinstance(x, Replay):
                kwargs = in_recorded_order(x, self.selection, kwargs)
            x = with_tuples(x)
            history = fit_of(self, super().fit, x, *args, **kwargs)
        self.selection_metrics.check(num_classes(self))
        return history

    def reset_metrics(self):
        # An epoch that begins or an evaluation would hide them.
        self.selection_metrics.check(num_classes(self))
        super().reset_metrics()

    def train_on_batch(self, *args, **kwargs):
        self._freeze_reference()
        with explained_sizes():
            logs = super().train_on_batch(*args, **kwargs)
        self.selection_metrics.check(num_classes(self))
        return logs

    def select(self, data):
        """Turn a super-batch into a sub-batch and what is told of it."""
        data, position = take_position(data)
        sub_batch, chosen = data, {}
        if self.score_delay:
            x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
            self._build_all(x)
        if self.selection is not None:
            if not self._saw_super_batch:
                check_first_super_batch(self.selection, data)
                self._saw_super_batch = True
            sub_batch, chosen = select_rows(self, data)
        else:
            num_rows = keras.tree.flatten(data)[0].shape[0]
            self.selection_metrics.update_work(num_rows, 0)
        if self.score_delay:
            self.previous_weights.store(self.roles.trained_scorers)
        return sub_batch, {**chosen, **position}

    def report(self, logs):
        """Take what is not for callbacks out of a step's logs."""
        logs = dict(logs)
        chosen = dict(logs.pop("chosen"))
        # Of the step before: to wait for this one would idle the device.
        check_count(self._labels_outside, self)
        self._labels_outside = chosen.pop("labels_outside", None)
        position = chosen.pop("position", None)
        for recorder in self.position_recorders:
            recorder(position)
        for recorder in self.recorders if chosen else ():
            recorder(chosen)
        return logs

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        batch = {"y": y, "sample_weight": sample_weight}
        loss = loss_of(self.loss, batch, y_pred)
        loss = sum((ops.sum(added) for added in self.losses), loss)
        if not self.roles.trained_beside:
            return loss
        return with_losses_beside(
            self, loss, x, y, y_pred, sample_weight, training
        )

    def get_metrics_result(self):
        logs = super().get_metrics_result()
        policy = None if self._is_evaluating else self.selection
        return self.selection_metrics.visible(logs, policy)

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

    def _build_all(self, inputs):
        self.roles.build(inputs)
        if self.score_delay:
            self.previous_weights.make(self.roles.trained_scorers)

    def _freeze_reference(self):
        # `model.trainable = True` thaws all that is in a model.
        if self.reference is not None and not self.train_reference:
            self.reference.trainable = False

    def _checked(self, selection, loss):
        policy = policies.get(selection)
        check_policy(policy, self, loss, self.is_scheduled)
        return policy

    def get_selection_settings(self):
        """What a record of the run says about it: a dict for JSON."""
        return model_config.selection_settings(self)

    get_config = model_config.get_config
    from_config = classmethod(model_config.from_config)
    build_from_config = model_config.build_from_config
    get_compile_config = model_config.get_compile_config
    compile_from_config = model_config.compile_from_config
    save_own_variables = model_config.save_own_variables
    load_own_variables = model_config.load_own_variables
