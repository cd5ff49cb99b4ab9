"""The run of one `fit`: what of it is saved, and how it goes on."""

import contextlib

import keras

from keras_jest.callbacks.callback_states import callback_states
from keras_jest.callbacks.callback_states import restore_callbacks
from keras_jest.callbacks.fit_in_parts import CallbacksOfParts
from keras_jest.callbacks.fit_in_parts import fit_in_parts
from keras_jest.callbacks.fit_in_parts import training_nothing
from keras_jest.callbacks.model_state import model_state
from keras_jest.callbacks.model_state import restore_model
from keras_jest.callbacks.model_state import values_of
from keras_jest.callbacks.run_identity import check_identity
from keras_jest.callbacks.run_identity import run_identity
from keras_jest.data.position import positioned
from keras_jest.data.position import without_position
from keras_jest.models.model_inputs import build_from_batch


class ResumedFit:
    """Runs `fit` from a saved state on, or from the beginning.

    Args:
        model: a `SelectingModel`.
        fit: Keras' `fit`, of the model.
        backup: the `BackupAndRestore` whose run it is.
        arguments: dict, the arguments of `fit`.
    """

    def __init__(self, model, fit, backup, arguments):
        self.model, self.fit, self.backup = model, fit, backup
        self.arguments = arguments
        self.steps_per_epoch = arguments.get("steps_per_epoch")
        self.epochs = arguments.get("epochs", 1)
        self.data = positioned(**arguments)
        self.identity = run_identity(model, self.data)
        self.epoch = arguments.get("initial_epoch", 0)
        self.batch = self.step = 0
        self.saved = backup.folder.read()
        if self.saved is not None:
            self._take_place()
        self._first_step = self.step - self.batch  # Of the present epoch.
        self._metrics = None
        self.callbacks = self._callbacks()

    def _take_place(self):
        """Be where the saved run was; its model follows when it is built."""
        saved = self.saved
        check_identity(saved["identity"], self.identity)
        if saved["batch"]:
            key = {"steps_per_epoch": saved["steps_per_epoch"]}
            check_identity(key, {"steps_per_epoch": self.steps_per_epoch})
        self.epoch, self.batch = saved["epoch"], saved["batch"]
        self.step = saved["step"]
        if self.epoch + bool(self.batch) > self.epochs:
            raise ValueError(
                "The saved run is further than this one would go. Received: "
                f"epochs={self.epochs}, and a state of epoch {self.epoch + 1} "
                "of it. Set more `epochs`, or name another `backup_dir`."
            )
        self.data = self.data.starting(saved["data"])
        self._check_data()
        self._build_model()
        # A compiled step holds the seed, which may have been a random one.
        self.model.seed, self.model.train_function = saved["seed"], None

    def _build_model(self):
        """Make what the state is for; TensorFlow waits for the first step."""
        if self.model.roles.are_built:
            return
        batch = next(iter(self.data.starting(None)), None)
        if batch is not None:
            inputs, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
            build_from_batch(self.model, without_position(inputs)[0])

    def _check_data(self):
        """Raise if data that are counted in steps end before the steps do."""
        num_left = (self.epochs - self.epoch) * (self.steps_per_epoch or 0)
        num_left -= self.batch
        if num_left > 0 and self.data.is_exhausted():
            raise ValueError(
                "The data end where the run would go on. Leave `num_epochs` "
                "of the dataset at None, or set fewer `steps_per_epoch`. "
                f"Received: {self.step} steps made, {num_left} to come"
            )

    def _callbacks(self):
        given = self.arguments.get("callbacks")
        given = keras.tree.flatten(getattr(given, "callbacks", given))
        verbose = self.arguments.get("verbose", "auto")
        return CallbacksOfParts(
            [of for of in given if of is not self.backup],
            self,
            model=self.model,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=self.epochs,
            steps=self.steps_per_epoch,
        )

    def __call__(self):
        model, before = self.model, self.model.recorders
        model.recorders = (*before, self._take_note)
        try:
            return fit_in_parts(model, self.fit, self._parts(), self.callbacks)
        except Exception:
            # Workers that were terminated, too, end the data with an error.
            self.backup.end_if_asked(self.save)
            raise
        finally:
            model.recorders = before
            self.backup.release_signal()
            with contextlib.suppress(Exception):  # Of a step that failed.
                self.data.rewind()

    def _take_note(self, chosen):
        self.data(chosen)

    def _parts(self):
        """What is left of the epoch that was cut, then the other epochs."""
        if self.batch:
            yield from self._rest_of_epoch()
            state = self.data.trained_state() if self.steps_per_epoch else None
            self.data = self.data.starting(state)
            if self.epoch >= self.epochs:
                return
        part = {**self.arguments, "x": self.data, "initial_epoch": self.epoch}
        if self.saved is not None and self.saved["stopped"]:
            part["epochs"] = self.epoch  # Nothing is left but the end.
        yield part

    def _rest_of_epoch(self):
        num_left = self.steps_per_epoch and self.steps_per_epoch - self.batch
        num_left = 0 if self.saved["stopped"] else num_left
        part = {
            **self.arguments,
            "x": self.data,
            "initial_epoch": self.epoch,
            "epochs": self.epoch + 1,
            "steps_per_epoch": num_left,
        }
        if num_left or (num_left is None and not self.data.is_exhausted()):
            yield part
            return
        # Validation and callbacks have yet to see that the epoch has ended.
        with training_nothing(self.model, self.callbacks):
            some = self.data.starting(None)
            yield {**part, "x": some, "steps_per_epoch": 1}

    def restore_model(self):
        if self.saved is not None:
            values = self.saved["variables"]
            restore_model(self.model, values, ("weights", "optimizer"))

    def restore_others(self):
        """Let callbacks and metrics know what they knew, once."""
        if self.saved is None:
            return
        restore_callbacks(self.callbacks.others, self.saved["callbacks"])
        if self.batch:
            # Callbacks have begun the epoch once more, with another rate.
            restore_model(self.model, self.saved["variables"])
            self.model.stop_training = self.saved["stopped"]
        self.saved = None

    def count_steps(self, batch):
        """Count a step, or an execution of several.

        Args:
            batch: int, the number in its epoch of the last batch.

        Returns:
            Tuple of how many steps the run had made, and has.
        """
        before = self.step
        # The last execution of an epoch may end early.
        self.batch = min(batch + 1, self.steps_per_epoch or batch + 1)
        self.step = self._first_step + self.batch
        return before, self.step

    def end_epoch(self, epoch):
        self.epoch, self.batch, self._first_step = epoch + 1, 0, self.step
        self._metrics = None

    @property
    def is_over(self):
        return self.epoch >= self.epochs or self.model.stop_training

    def begin_test(self):
        """Remember the metrics of the epoch, which validation resets."""
        self._metrics = values_of(self.backup.model.metrics_variables)

    def save(self):
        """Keep all that is needed to go on after the present step."""
        # Data that are not counted in steps begin anew with each epoch.
        goes_on = self.batch or self.steps_per_epoch
        # On JAX the callback's way to the model brings its values back.
        variables = model_state(self.backup.model)
        if self._metrics is not None:
            variables["metrics"] = self._metrics
        state = {
            "identity": self.identity,
            "seed": self.model.seed,
            "steps_per_epoch": self.steps_per_epoch,
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "data": self.data.trained_state() if goes_on else None,
            "callbacks": callback_states(self.callbacks.others),
            "stopped": self.model.stop_training,
            "variables": variables,
        }
        self.backup.folder.write(self.step, state)
