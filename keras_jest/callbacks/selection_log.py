"""A record of which rows were picked, as parquet."""

import os
import warnings
from typing import Any

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.callbacks.log_checks import check_folder
from keras_jest.callbacks.log_checks import check_numbers
from keras_jest.callbacks.log_checks import check_selects
from keras_jest.callbacks.picked_columns import picked_columns
from keras_jest.callbacks.step_log import StepLog
from keras_jest.data.step_columns import steps_path
from keras_jest.data.unfinished_log import UnfinishedLog
from keras_jest.types import Logs
from keras_jest.types import StrPath

# So many do not wait on the device for the steps of others.
MOST_ROWS = 1_000_000


@keras_jest_export("keras_jest.callbacks.SelectionLog")
class SelectionLog(keras.callbacks.Callback):
    """Writes what was picked in each step of `fit` to a parquet file.

    One line per picked row, in the order in which it was picked: `step`,
    `row` in its super-batch, `score` (by how much the loss of the learner, or
    of the online model, exceeds the reference's, on the row by itself; a loss
    that the policy does not read counts 0, and steps that score nothing have
    NaN), `seen_score`, its mean over the super-batch, and, where the batches
    have `"key"`, the record's `key` as `keras_jest.data.key_to_hex` writes it.
    `keras_jest.data.recorded_settings` reads the settings of the run from it.

    While `fit` runs, its log is in `path.unfinished`, an Arrow stream, which
    `keras_jest.data.recorded_rows` and its neighbours read by that name, also
    after a kill. When `fit` has ended, the log takes the place of an older
    file at `path`, which stays as it is until then, and for good if `fit`
    fails.

    A `fit` that goes on with what a stopped one was doing, its weights and
    draws restored by `keras_jest.callbacks.BackupAndRestore`, goes on in its
    unfinished log, and a second `fit` of a model in its complete log: steps
    that a kill undid are dropped, and in the end the file is that of a run
    that was never stopped. What a second `fit` keeps in more columns than the
    first is null in the first one's steps. With Keras' own `BackupAndRestore`
    the log must stand before it in the list, and hold the steps before the
    saved state: it is written at the end of each epoch, and where a state is
    saved every few steps, let `steps_at_a_time` be a divisor of that number.
    An unfinished log of any other run is moved to `path.unfinished.1`, with a
    warning that says why.

    Args:
        path: str or path of the file. One run at a time: where another
            process is writing its log, `fit` is refused (not on Windows).
        steps_at_a_time: int. After the first, so many steps are gathered
            before they are fetched from the device and written, fewer if they
            have more than a million rows. A kill loses at most these.
        keep_seen: bool. Whether to keep the keys of all rows of each
            super-batch, too: 16 bytes a row, half a megabyte for 32,768.
            Batches must have `"key"`.
        snapshot_every: int or `None`. Every so many steps, what learner and
            reference say of all pairs of at most 256 rows is kept, of the
            super-batch and of the sub-batch: 1 MB each time. It costs two
            passes of both models over 256 rows, run eagerly, and, for the
            time of the step, room for a copy of their weights.

    What the last two keep is in `path.steps`, a line per step, and shown by
    `keras_jest.evaluation.selection_report`.

    `step` is `model.optimizer.iterations` before the first step of a new log,
    and counts from there.

    Raises:
        ValueError: in `fit`, if the model selects nothing, if there are no
            keys or pairs to keep, if `steps_per_execution` is above 1, which
            hides steps, or several replicas of `tf.distribute` select, if
            there is no folder for `path`, or another process writes to it; at
            once, if pyarrow is not installed.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_jest import JESTModel
    from keras_jest.callbacks import SelectionLog
    from keras_jest.losses import SigmoidContrastiveLoss
    from keras_jest.models import DualEncoder

    def encoder():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])

    model = JESTModel(
        DualEncoder(encoder(), encoder()), DualEncoder(encoder(), encoder())
    )
    model.compile("adam", loss=SigmoidContrastiveLoss())
    pool = np.random.default_rng(0).normal(size=(2, 40, 4)).astype("float32")
    pool = {"images": pool[0], "token_ids": pool[1]}
    log = SelectionLog("picks.parquet")
    # model.fit(pool, batch_size=20, callbacks=[log])
    ```
    """

    def __init__(
        self,
        path: StrPath,
        steps_at_a_time: int = 100,
        keep_seen: bool = False,
        snapshot_every: int | None = None,
    ) -> None:
        super().__init__()
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise ValueError(
                "`SelectionLog` writes parquet and needs pyarrow: "
                'pip install "keras-jest[parquet]"'
            ) from error
        check_numbers(steps_at_a_time, snapshot_every)
        self.path = os.fspath(path)
        self.steps_at_a_time = steps_at_a_time
        self._log: Any = None
        self._steps_log = self._steps = None
        if keep_seen or snapshot_every is not None:
            self._steps = StepLog(self, keep_seen, snapshot_every)
        self._first_step = self.step = None
        self._forget()

    def on_train_begin(self, logs: Logs = None) -> None:
        model = self.model
        check_selects(model)
        check_folder(self.path)
        # An interrupted run does not tell callbacks that it ends.
        self._flush()
        for log in self._logs:
            log.close()
        self._log = self._steps_log = None
        if self._steps is not None:
            self._steps.begin(model)
        model.recorders = (*model.recorders, self._record)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._begin()
        if self._steps is not None:
            self._steps.begin_epoch()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._flush()

    def on_train_end(self, logs: Logs = None) -> None:
        self._begin()
        self._flush()
        for log in self._logs:
            log.complete()
        self._log = self._steps_log = None

    def is_recording(self, model: keras.Model) -> bool:
        """Whether a model is in a `fit` that this is the log of."""
        return self._record in model.recorders

    @property
    def _logs(self):
        logs = (self._log, self._steps_log)
        return [log for log in logs if log is not None]

    def get_state(self) -> dict[str, Any]:
        """Put all that was recorded on disk, and tell how far that is.

        Returns:
            Dict for JSON: `step`, the number of the next step, and
            `first_step`, that of the first one of this `fit`.
        """
        self._begin()
        self._flush()
        for log in self._logs:
            log.sync()
        return {"first_step": self._first_step, "step": self.step}

    def set_state(self, state: dict[str, Any]) -> None:
        """Warn if the log on disk is not the one of a saved state.

        The log finds where it goes on by itself, when the first epoch begins.

        Args:
            state: dict, what `get_state` returned.
        """
        self._begin()
        if state["first_step"] < state["step"] and not (
            self._log.goes_on or self._log.follows
        ):
            warnings.warn(
                f"The run goes on at step {state['step']}, but the log in "
                f"{self._log.path} does not hold the steps before it. A new "
                f"one begins with step {self.step}.",
                stacklevel=2,
            )

    def _begin(self):
        """Find where to write, once all callbacks have begun."""
        if self._log is not None:
            return
        settings = self.model.get_selection_settings()
        first_step = int(self.model.optimizer.iterations)
        self._log = UnfinishedLog(self.path, settings, first_step)
        self._first_step = self.step = self._log.next_step
        if self._steps is not None:
            self._steps_log = UnfinishedLog(
                steps_path(self.path), settings, self.step
            )

    def _record(self, chosen):
        """Keep a step's arrays where they are; fetching them would wait."""
        self._waiting.append((self.step, chosen))
        self._num_waiting += chosen["picks"].shape[0]
        if self._steps is not None:
            self._num_waiting += self._steps.record(chosen)
        self.step += 1
        num_steps = self.step - self._first_step
        if (
            # With the first step, what is on disk of later ones is void.
            num_steps == 1
            or num_steps % self.steps_at_a_time == 0
            or self._num_waiting >= MOST_ROWS
        ):
            self._flush()

    def _flush(self):
        # Each is forgotten as soon as it is written: the other may fail.
        if self._waiting:
            self._log.append(picked_columns(self._waiting))
            self._forget()
        if self._steps is not None:
            self._steps.flush(self._steps_log)

    def _forget(self):
        self._waiting, self._num_waiting = [], 0
