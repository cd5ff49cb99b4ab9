"""A run that can be stopped at any step and goes on exactly."""

import numbers
import signal
import threading
from collections.abc import Callable
from typing import Any

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.callbacks.resumed_fit import ResumedFit
from keras_jest.callbacks.state_folder import StateFolder
from keras_jest.types import Logs
from keras_jest.types import StrPath


@keras_jest_export("keras_jest.callbacks.BackupAndRestore")
class BackupAndRestore(keras.callbacks.Callback):
    """Keeps model, optimizer, draws and place in the data as one state.

    As `keras.callbacks.BackupAndRestore`, in whose place it stands: run the
    same script again after a kill and `fit` goes on. Keras' own begins the
    epoch anew, with the data at its first batch. This one finishes the epoch
    that was cut: as many updates, with the same rows in the same order, the
    same picks, `SelectionLog`, schedule and `History` as a run that was never
    stopped.

    The place in the data is that of the last super-batch that was *trained*,
    whatever Keras and grain had read ahead. For `super_batches` it is a
    number of records, which holds for every `batch_size` and number of
    workers; for other grain datasets it is their own state, which holds for
    the same batch size. SIGTERM, as schedulers of clusters send it, saves
    after the step that runs, of training or of validation, and ends the
    process by `SystemExit` (in the main thread; elsewhere nobody hears it).

    Of other callbacks the state is kept of `EarlyStopping`,
    `ReduceLROnPlateau`, `ModelCheckpoint`, `SwapEMAWeights`, `History`,
    `keras_jest.callbacks.SelectionLog`, `RetrievalEvaluation` and
    `ZeroShotEvaluation`, and of yours if they have `get_state()` and
    `set_state(state)`. Not kept: the step counter of `TensorBoard`;
    `CSVLogger` needs `append=True`, and may
    write an epoch twice. Weights, the reference's too, the learning rate and
    the seed come from the state, whatever the script sets. Not kept is the
    state of Keras' global seed, from which layers draw that have none.

    A state is one file, written aside and renamed; the last two are kept, and
    if the newer is damaged the older is taken. A state takes as much disk as
    the weights of all models, with the reference's, and the optimizer's
    variables: about 3 times the learner's for Adam, and the reference's once
    (and once more all of it for `EarlyStopping(restore_best_weights=True)`).
    Two are kept and a third is there while one is written.

    Args:
        backup_dir: str or path. A folder for one run alone.
        save_freq: `"epoch"`, or int: a state after so many steps.
        delete_checkpoint: bool. Whether the states are deleted when `fit`
            has ended. If they are kept, another `fit` with more `epochs` goes
            on from them.

    Raises:
        ValueError: `save_freq` is neither; in `fit`: the model is no
            `JESTModel`, `FlexiJEST`, `ClassAct` or `ActiveCLIP`, the data are
            not grain's, or data, model, selection, backend, `steps_per_epoch`
            or version of keras_jest are not those of the saved state.
        OSError: A state cannot be written; those before it are whole.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_jest import JESTModel
    from keras_jest.callbacks import BackupAndRestore
    from keras_jest.losses import SigmoidContrastiveLoss
    from keras_jest.models import DualEncoder

    def encoder():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])

    model = JESTModel(
        DualEncoder(encoder(), encoder()), DualEncoder(encoder(), encoder())
    )
    model.compile("adam", loss=SigmoidContrastiveLoss())
    # dataset = keras_jest.data.super_batches(...)
    # model.fit(
    #     dataset,
    #     steps_per_epoch=1000,
    #     epochs=10,
    #     callbacks=[BackupAndRestore("backup", save_freq=100)],
    # )
    ```
    """

    def __init__(
        self,
        backup_dir: StrPath,
        save_freq: str | int = "epoch",
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if isinstance(save_freq, str):
            is_known = save_freq == "epoch"
        else:
            is_int = isinstance(save_freq, numbers.Integral)
            is_known = is_int and save_freq > 0 and save_freq is not True
        if not is_known:
            raise ValueError(
                "`save_freq` must be 'epoch' or a number of steps, at least "
                f"1. Received: save_freq={save_freq!r}"
            )
        self.folder = StateFolder(backup_dir)
        self.save_freq = save_freq
        self.delete_checkpoint = delete_checkpoint
        self._run: Any = None
        self._handler: Any = None
        self._asked_to_end = False

    def around_fit(
        self, model: keras.Model, fit: Callable[..., Any]
    ) -> Callable[..., Any]:
        """The `fit` that goes on where the last state was saved."""

        def resumed(**arguments):
            self._run = ResumedFit(model, fit, self, arguments)
            try:
                return self._run()
            finally:
                self._run = None

        return resumed

    def on_train_begin(self, logs: Logs = None) -> None:
        if self._run is None:
            raise ValueError(
                "This callback must know the place in the data, which Keras' "
                "`fit` does not tell. Wrap the model, "
                "`keras_jest.JESTModel(model)`, and compile it with "
                f"`selection=None` to train as before. Received: {self.model}"
            )
        self._asked_to_end = False
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) != signal.SIG_IGN:
            before = signal.signal(signal.SIGTERM, self._ask_to_end)
            self._handler = before or signal.SIG_DFL

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        before, step = self._run.count_steps(batch)
        is_due = self.save_freq != "epoch" and (
            step // self.save_freq > before // self.save_freq
        )
        if is_due:
            self._run.save()
        self.end_if_asked(None if is_due else self._run.save)

    def on_test_begin(self, logs: Logs = None) -> None:
        self._run.begin_test()

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.end_if_asked(self._run.save)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._run.end_epoch(epoch)
        # What follows the last epoch must not be trained for once more.
        is_due = self.save_freq == "epoch" or self._run.is_over
        if is_due:
            self._run.save()
        self.end_if_asked(None if is_due else self._run.save)

    def on_train_end(self, logs: Logs = None) -> None:
        self.end_if_asked()
        self.release_signal()
        if self.delete_checkpoint:
            self.folder.delete()

    def release_signal(self) -> None:
        """Give SIGTERM back to whom it belonged."""
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)
            self._handler = None

    def _ask_to_end(self, number, frame):
        self._asked_to_end = True

    def end_if_asked(self, save: Callable[[], Any] | None = None) -> None:
        """End the process if SIGTERM has come, after a save if need be."""
        if not self._asked_to_end:
            return
        if save is not None:
            save()
        handler = self._handler
        self.release_signal()
        if callable(handler):
            handler(signal.SIGTERM, None)
        raise SystemExit(128 + signal.SIGTERM)
