"""What every model that selects what it trains on has in common."""

import random
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_jest.data.position import take_position
from keras_jest.data.position import without_position
from keras_jest.flops.model_pass import ModelPass
from keras_jest.models.data_loaders import with_tuples
from keras_jest.models.first_batch import checks_first_batch
from keras_jest.models.model_inputs import model_inputs
from keras_jest.trainers import backend
from keras_jest.trainers import compiling
from keras_jest.trainers import fits
from keras_jest.trainers import model_config
from keras_jest.trainers.columns import check_steps
from keras_jest.trainers.compile_checks import check_constructor
from keras_jest.trainers.compile_checks import check_super_batch_size
from keras_jest.trainers.explained_errors import explained_errors
from keras_jest.trainers.first_look import first_look
from keras_jest.trainers.holding import holding
from keras_jest.trainers.labels import num_classes
from keras_jest.trainers.looks import as_it_is
from keras_jest.trainers.passes import passes_of
from keras_jest.trainers.previous_weights import PreviousWeights
from keras_jest.trainers.roles import Roles
from keras_jest.trainers.select_rows import keep_all
from keras_jest.trainers.select_rows import select_rows
from keras_jest.trainers.selection_metrics import SelectionMetrics
from keras_jest.trainers.settings import Settings
from keras_jest.trainers.trained_beside import carried
from keras_jest.trainers.trained_beside import loss_of
from keras_jest.trainers.trained_beside import with_losses_beside
from keras_jest.types import Tensor


@checks_first_batch(first_look)
class SelectingModel(keras.Model):
    """Runs a policy on each super-batch and trains on what it keeps.

    Its arguments are those of `keras_jest.ClassAct`, which differs from other
    subclasses in what it is told of and compiled with, and in no computation.
    """

    shows_spread = False
    train_function: Callable[..., Any] | None

    def __init__(
        self,
        learner: keras.Model,
        online: keras.Model | None = None,
        reference: keras.Model | None = None,
        train_reference: bool = False,
        seed: int | None = None,
        policy: keras.layers.Layer | None = None,
        score_delay: int = 0,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
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
        self.roles.freeze_reference()
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
        self.previous_weights = PreviousWeights(score_delay)
        # Those of a model from a file must exist before it is read.
        self.previous_weights.make(self.roles.trained_scorers)
        self.settings, self.selection = Settings(), None
        self.recorders: tuple[Callable[[Any], Any], ...] = ()
        self._is_evaluating = False
        self.awaits_first_super_batch = True
        self.saved_states: dict[str, Any] = {}
        # Else `load_weights` and `BackupAndRestore` refuse.
        self.built = self.roles.are_built

    @property
    def roles(self) -> Roles:
        return Roles(
            self.learner, self.online, self.reference, self.train_reference
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        inputs, _ = carried(without_position(inputs)[0])
        self._build_all(inputs)
        own_inputs = model_inputs(self.learner, inputs, "learner")
        return self.run_learner(own_inputs, training)

    def run_learner(self, inputs: Any, training: bool | None) -> Any:
        """The learner's outputs, to train on or to evaluate."""
        return self.learner(inputs, training=training)

    def train_step(self, *args: Any) -> Any:
        return backend.train_step(self, super().train_step, *args)

    def make_train_function(self, force: bool = False) -> None:
        if force or self.train_function is None:
            keras_make = super().make_train_function
            self.train_function = backend.make_train_function(self, keras_make)
            self.awaits_first_super_batch = True

    def reset_metrics(self) -> None:
        # An epoch that begins or an evaluation would hide them.
        self.selection_metrics.check(num_classes(self))
        check_steps(self.selection)
        super().reset_metrics()

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        self.roles.freeze_reference()
        with explained_errors():
            logs = super().train_on_batch(*args, **kwargs)
        self.selection_metrics.check(num_classes(self))
        check_steps(self.selection)
        return logs

    @property
    def looks(self) -> dict[str, Callable[..., Any]]:
        """How each scorer looks at rows, by the names of `roles.scorers`."""
        return {name: as_it_is(of) for name, of in self.roles.scorers.items()}

    def passes(self, inputs: Any) -> list[ModelPass]:
        """What a step is made of, for a ledger: a list of `ModelPass`.

        Args:
            inputs: those of a super-batch, of which shapes are read.
        """
        return passes_of(self, inputs)

    def select(self, data: Any) -> tuple[Any, dict[str, Any]]:
        """Turn a super-batch into a sub-batch and what is told of it."""
        data, position = take_position(data)
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        self._build_all(x)
        if self.awaits_first_super_batch:
            self.check_first_super_batch(x)
        keep = keep_all if self.selection is None else select_rows
        sub_batch, chosen = keep(self, data)
        self.awaits_first_super_batch = False
        self.previous_weights.store(self.roles.trained_scorers)
        return sub_batch, {**chosen, **position}

    def check_first_super_batch(self, x: Any) -> None:
        """Raise, while the step is traced, if it does not fit the model.

        Args:
            x: the inputs of the first super-batch of a run.
        """
        if self.selection is not None:
            num_rows = keras.tree.flatten(x)[0].shape[0]
            check_super_batch_size(self.selection, num_rows)

    def report(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        """Take what is not for callbacks out of a step's logs."""
        logs = dict(logs)
        chosen = logs.pop("chosen")
        for recorder in self.recorders:
            recorder(chosen)
        return logs

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        batch = {"y": y, "sample_weight": sample_weight}
        loss = loss_of(self.loss, batch, y_pred)
        loss = sum((ops.sum(added) for added in self.losses), loss)
        if not self.roles.trained_beside:
            return loss
        return with_losses_beside(
            self, loss, x, y, y_pred, sample_weight, training
        )

    def get_metrics_result(self) -> dict[str, Any]:
        logs = super().get_metrics_result()
        policy = None if self._is_evaluating else self.selection
        return self.selection_metrics.visible(logs, policy)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        fits.check_arrays(self.learner, x)
        with explained_errors(), holding(self, _is_evaluating=True):
            return super().evaluate(with_tuples(x), *args, **kwargs)

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        with holding(self, _is_evaluating=True):
            return super().test_on_batch(*args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        fits.check_arrays(self.learner, x)
        with explained_errors():
            return super().predict(with_tuples(x), *args, **kwargs)

    def export(self, *args: Any, **kwargs: Any) -> None:
        """Export the learner: the rest was there to train it.

        Args:
            *args: as for the learner's own `export`.
            **kwargs: as for the learner's own `export`.
        """
        self.learner.export(*args, **kwargs)

    def _build_all(self, inputs):
        self.roles.build(inputs)
        self.previous_weights.make(self.roles.trained_scorers)

    def get_selection_settings(self) -> dict[str, Any]:
        """What a record of the run says about it: a dict for JSON."""
        return model_config.selection_settings(self)

    compile = compiling.compile
    fit = fits.fit
    get_config = model_config.get_config
    from_config = classmethod(model_config.from_config)
    build_from_config = model_config.build_from_config
    get_compile_config = model_config.get_compile_config
    compile_from_config = model_config.compile_from_config
    save_own_variables = model_config.save_own_variables
    load_own_variables = model_config.load_own_variables
