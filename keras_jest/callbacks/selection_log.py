"""A record of which rows were picked, as parquet."""

import json
import os
import pathlib

import keras
import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.record_key import key_to_hex
from keras_jest.data.recording import SETTINGS


@keras_jest_export("keras_jest.callbacks.SelectionLog")
class SelectionLog(keras.callbacks.Callback):
    """Writes what was picked in each step of `fit` to a parquet file.

    One line per picked row, in the order in which it was picked: `step`,
    `row` in its super-batch, `score` (by how much the loss of the learner, or
    of the online model, exceeds the reference's, on the row by itself) and,
    where the batches have `"key"`, the record's `key` as
    `keras_jest.data.key_to_hex` writes it.
    `keras_jest.data.recorded_settings` reads the settings of the run from it.

    Args:
        path: str or path of the file. Each `fit` replaces an older one, and
            counts its steps from 0. The file is there when `fit` has ended;
            what an interrupted run had written is in `path.unfinished`.
        rows_at_a_time: int. So many lines are gathered before they are
            fetched from the device and written.

    Raises:
        ValueError: in `fit`, if the model selects nothing, or if
            `steps_per_execution` is above 1, which hides steps, or several
            replicas of `tf.distribute` select; at once, if pyarrow is not
            installed.

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

    def __init__(self, path, rows_at_a_time=100_000):
        super().__init__()
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise ValueError(
                "`SelectionLog` writes parquet and needs pyarrow: "
                'pip install "keras-jest[parquet]"'
            ) from error
        self.path = str(path)
        self._unfinished = f"{self.path}.unfinished"
        self.rows_at_a_time = rows_at_a_time
        self._forget()

    def on_train_begin(self, logs=None):
        model = self.model
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
        # An interrupted run does not tell callbacks that it ends.
        self._close()
        self._forget()
        pathlib.Path(self.path).unlink(missing_ok=True)
        self._settings = json.dumps(model.get_selection_settings())
        model.recorder = self._record

    def on_train_end(self, logs=None):
        self._flush()
        self.model.recorder = None
        self._close()
        if pathlib.Path(self._unfinished).exists():
            os.replace(self._unfinished, self.path)

    def _forget(self):
        self._writer = None
        self._waiting = []
        self._num_waiting = 0
        self._step = 0

    def _close(self):
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _record(self, chosen):
        """Keep a step's arrays where they are; fetching them would wait."""
        self._waiting.append((self._step, chosen))
        self._num_waiting += chosen["picks"].shape[0]
        self._step += 1
        if self._num_waiting >= self.rows_at_a_time:
            self._flush()

    def _flush(self):
        import pyarrow
        import pyarrow.parquet

        if not self._waiting:
            return
        table = pyarrow.concat_tables(
            pyarrow.table(as_columns(step, chosen))
            for step, chosen in self._waiting
        )
        if self._writer is None:
            schema = table.schema.with_metadata({SETTINGS: self._settings})
            self._writer = pyarrow.parquet.ParquetWriter(
                self._unfinished, schema
            )
        self._writer.write_table(table)
        self._waiting, self._num_waiting = [], 0


def as_columns(step, chosen):
    """The columns of one step, as NumPy arrays and lists."""
    picks = keras.ops.convert_to_numpy(chosen["picks"])
    columns = {
        "step": np.full(len(picks), step, "int32"),
        "row": picks.astype("int32"),
        "score": keras.ops.convert_to_numpy(chosen["scores"]),
    }
    if "key" in chosen:
        keys = keras.ops.convert_to_numpy(chosen["key"])
        columns["key"] = [key_to_hex(key) for key in keys]
    return columns
