"""A record of which rows were picked, as parquet."""

import os
import warnings

import keras
import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.record_key import keys_to_hex
from keras_jest.data.unfinished_log import UnfinishedLog

# So many do not wait on the device for the steps of others.
MOST_ROWS = 1_000_000


@keras_jest_export("keras_jest.callbacks.SelectionLog")
class SelectionLog(keras.callbacks.Callback):
    """Writes what was picked in each step of `fit` to a parquet file.

    One line per picked row, in the order in which it was picked: `step`,
    `row` in its super-batch, `score` (by how much the loss of the learner, or
    of the online model, exceeds the reference's, on the row by itself) and,
    where the batches have `"key"`, the record's `key` as
    `keras_jest.data.key_to_hex` writes it.
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
    that was never stopped. With Keras' own `BackupAndRestore` the log must
    stand before it in the list, and hold the steps before the saved state: it
    is written at the end of each epoch, and where a state is saved every few
    steps, let `steps_at_a_time` be a divisor of that number. An unfinished
    log of any other run is moved to `path.unfinished.1`, with a warning that
    says why.

    Args:
        path: str or path of the file. One run at a time: where another
            process is writing its log, `fit` is refused (not on Windows).
        steps_at_a_time: int. After the first, so many steps are gathered
            before they are fetched from the device and written, fewer if they
            have more than a million rows. A kill loses at most these.

    `step` is `model.optimizer.iterations` before the first step of a new log,
    and counts from there.

    Raises:
        ValueError: in `fit`, if the model selects nothing, or if
            `steps_per_execution` is above 1, which hides steps, or several
            replicas of `tf.distribute` select, if there is no folder for
            `path`, or another process writes to it; at once, if pyarrow is
            not installed.

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

    def __init__(self, path, steps_at_a_time=100):
        super().__init__()
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise ValueError(
                "`SelectionLog` writes parquet and needs pyarrow: "
                'pip install "keras-jest[parquet]"'
            ) from error
        if steps_at_a_time < 1:
            raise ValueError(
                "Steps are written one at a time or more. "
                f"Received: steps_at_a_time={steps_at_a_time}"
            )
        self.path = os.fspath(path)
        self.steps_at_a_time = steps_at_a_time
        self._log = None
        self._first_step = self._step = None
        self._forget()

    def on_train_begin(self, logs=None):
        model = self.model
        check_selects(model)
        check_folder(self.path)
        # An interrupted run does not tell callbacks that it ends.
        self._flush()
        if self._log is not None:
            self._log.close()
        self._log = None
        model.recorders = (*model.recorders, self._record)

    def on_epoch_begin(self, epoch, logs=None):
        self._begin()

    def on_epoch_end(self, epoch, logs=None):
        self._flush()

    def on_train_end(self, logs=None):
        self._begin()
        self._flush()
        self._log.complete()
        self._log = None

    def get_state(self):
        """Put all that was recorded on disk, and tell how far that is.

        Returns:
            Dict for JSON: `step`, the number of the next step, and
            `first_step`, that of the first one of this `fit`.
        """
        self._begin()
        self._flush()
        self._log.sync()
        return {"first_step": self._first_step, "step": self._step}

    def set_state(self, state):
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
                f"one begins with step {self._step}.",
                stacklevel=2,
            )

    def _begin(self):
        """Find where to write, once all callbacks have begun."""
        if self._log is not None:
            return
        settings = self.model.get_selection_settings()
        first_step = int(self.model.optimizer.iterations)
        self._log = UnfinishedLog(self.path, settings, first_step)
        self._first_step = self._step = self._log.next_step

    def _record(self, chosen):
        """Keep a step's arrays where they are; fetching them would wait."""
        self._waiting.append((self._step, chosen))
        self._num_waiting += chosen["picks"].shape[0]
        self._step += 1
        num_steps = self._step - self._first_step
        if (
            # With the first step, what is on disk of later ones is void.
            num_steps == 1
            or num_steps % self.steps_at_a_time == 0
            or self._num_waiting >= MOST_ROWS
        ):
            self._flush()

    def _flush(self):
        if self._waiting:
            self._log.append(as_columns(self._waiting))
            self._forget()

    def _forget(self):
        self._waiting, self._num_waiting = [], 0


def check_selects(model):
    if getattr(model, "selection", None) is None:
        raise ValueError(
            "There is nothing to log: the model selects no rows. "
            f"Received: {model}. Train it with a `selection`."
        )
    if model.steps_per_execution > 1:
        raise ValueError(
            "`SelectionLog` needs steps_per_execution=1, since only the "
            "last step of an execution is seen. Received: "
            f"steps_per_execution={model.steps_per_execution}"
        )
    strategy = getattr(model, "distribute_strategy", None)
    num_replicas = getattr(strategy, "num_replicas_in_sync", 1)
    if num_replicas > 1:
        raise ValueError(
            "`SelectionLog` would miss what all replicas but the first "
            f"pick. Received: {num_replicas} replicas of tf.distribute. "
            "Train in one, or on JAX with `keras.distribution`."
        )


def check_folder(path):
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path) or not os.access(folder, os.W_OK):
        raise ValueError(
            "Expected the path of a file, in a folder that can be written "
            f"to. Received: path={path!r}"
        )


def as_columns(steps):
    """The columns of some steps, as arrays."""
    names = [of for of in ("picks", "scores", "key") if of in steps[0][1]]
    fetched = [
        (step, {name: keras.ops.convert_to_numpy(of[name]) for name in names})
        for step, of in steps
    ]

    def joined(name):
        return np.concatenate([chosen[name] for _, chosen in fetched])

    numbers = [step for step, _ in fetched]
    sizes = [len(chosen["picks"]) for _, chosen in fetched]
    columns = {
        "step": np.repeat(np.array(numbers, "int32"), sizes),
        "row": joined("picks").astype("int32"),
        "score": joined("scores").astype("float32"),
    }
    if "key" in fetched[0][1]:
        columns["key"] = keys_to_hex(joined("key"))
    return columns
