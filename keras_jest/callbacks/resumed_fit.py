"""The run of one `fit`: what of it is saved, and how it goes on."""

import keras

from keras_jest.callbacks.callback_states import callback_states
from keras_jest.callbacks.callback_states import restore_callbacks
from keras_jest.callbacks.fit_in_parts import CallbacksOfParts
from keras_jest.callbacks.fit_in_parts import fit_in_parts
from keras_jest.callbacks.fit_in_parts import training_nothing
from keras_jest.callbacks.model_state import model_state
from keras_jest.callbacks.model_state import restore_model
from keras_jest.callbacks.run_identity import check_identity
from keras_jest.callbacks.run_identity import run_identity
from keras_jest.data.position import positioned


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
        self.data = self.data.starting(saved["data"])
        # A compiled step holds the seed, which may have been a random one.
        self.model.seed, self.model.train_function = saved["seed"], None

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
        recorders = self.model.recorders
        self.model.recorders = (*recorders, lambda chosen: self.data(chosen))
        try:
            return fit_in_parts(
                self.model, self.fit, self._parts(), self.callbacks
            )
        finally:
            self.model.recorders = recorders
            self.backup.release_signal()
            self.data.rewind()

    def _parts(self):
        """What is left of the epoch that was cut, then the other epochs."""
        if self.batch and self.epoch < self.epochs:
            yield from self._rest_of_epoch()
            state = self.data.trained_state() if self.steps_per_epoch else None
            self.data = self.data.starting(state)
            if self.epoch >= self.epochs:
                return
        yield {**self.arguments, "x": self.data, "initial_epoch": self.epoch}

    def _rest_of_epoch(self):
        num_left = self.steps_per_epoch and self.steps_per_epoch - self.batch
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
            restore_model(self.model, self.saved["variables"])

    def restore_others(self):
        """Let callbacks and metrics know what they knew, once."""
        if self.saved is not None:
            restore_callbacks(self.callbacks.others, self.saved["callbacks"])
            if self.batch:
                restore_model(self.model, self.saved["variables"], ["metrics"])
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

    def save(self):
        """Keep all that is needed to go on after the present step."""
        # Data that are not counted in steps begin anew with each epoch.
        goes_on = self.batch or self.steps_per_epoch
        state = {
            "identity": self.identity,
            "seed": self.model.seed,
            "steps_per_epoch": self.steps_per_epoch,
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "data": self.data.trained_state() if goes_on else None,
            "callbacks": callback_states(self.callbacks.others),
            # On JAX the callback's way to the model brings its values back.
            "variables": model_state(self.backup.model),
        }
        self.backup.folder.write(self.step, state)
