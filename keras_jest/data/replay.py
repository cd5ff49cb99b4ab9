"""Train on what another run chose, without choosing again."""

import keras
import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.record_key import key_to_hex
from keras_jest.data.require import require


@keras_jest_export("keras_jest.data.recorded_rows")
def recorded_rows(path, keys):
    """Find what a run was trained on, step by step, among these keys.

    What was chosen does not depend on the learner if an online model scored:
    the sequence serves every other learner of the same sub-batch size.

    Args:
        path: str or path of a file that `keras_jest.callbacks.SelectionLog`
            wrote, in a run whose batches had `"key"`.
        keys: int32 array of shape `(n, 4)`, the `"key"` of each example, as
            in a batch or in `TarShards.keys`.

    Returns:
        List with an int array for each step: rows of `keys`, in the order in
        which they were picked.

    Raises:
        ValueError: if the run had no keys, or some of them are not here.

    Example:

    ```python
    from keras_jest.data import recorded_rows

    # steps = recorded_rows("picks.parquet", shards.keys)
    # subset = np.unique(np.concatenate(steps))  # what was ever chosen
    ```

    Reference:
    - [Evans et al., 2023](https://arxiv.org/abs/2312.05328), on amortisation.
    """
    columns = read_log(path)
    row_of = {key_to_hex(key): row for row, key in enumerate(keys)}
    unknown = [key for key in columns["key"] if key not in row_of]
    if unknown:
        raise ValueError(
            f"{len(set(unknown))} keys of the recorded run are not among "
            f"these {len(row_of)}: was it trained on other data? "
            f"Received: keys that are not here, such as {unknown[0]}"
        )
    rows = np.array([row_of[key] for key in columns["key"]])
    starts = np.flatnonzero(np.diff(columns["step"])) + 1
    return np.split(rows, starts)


def read_log(path):
    """The columns of a log, as arrays and lists."""
    parquet = require("pyarrow.parquet", "keras-jest[parquet]")
    table = parquet.read_table(path)
    if "key" not in table.column_names:
        raise ValueError(
            "Only a run whose batches had 'key' can be replayed: row numbers "
            "hold for its own super-batches alone. "
            f"Received: {path} with the columns {table.column_names}"
        )
    return {
        "step": table["step"].to_numpy(),
        "key": table["key"].to_pylist(),
    }


@keras_jest_export("keras_jest.data.Replay")
class Replay(keras.utils.PyDataset):
    """Yields the sub-batches that another run was trained on.

    A learner trains on them without scoring: `model.fit(replay,
    shuffle=False, selection=None)`, or `fit` of any Keras model. One epoch
    is the recorded run.

    Args:
        path: str or path of a file that `keras_jest.callbacks.SelectionLog`
            wrote.
        x: dict of arrays of `n` rows each, with `"key"` of shape `(n, 4)`.
        y: array of `n` rows, the targets, or `None`.
        sub_batch_size: int or `None`. What the learner's schedule was made
            for; another one in the file is an error.
        **kwargs: further arguments of `keras.utils.PyDataset`.

    Raises:
        ValueError: if the run had no keys, or keys or a size that are not
            those here; and when more steps are asked for than there are.

    Example:

    ```python
    from keras_jest.data import Replay

    # replay = Replay("picks.parquet", pool, sub_batch_size=128)
    # model.compile("adam", loss=SigmoidContrastiveLoss(), selection=None)
    # model.fit(replay, shuffle=False)
    ```

    Reference:
    - [Evans et al., 2023](https://arxiv.org/abs/2312.05328), on amortisation.
    """

    def __init__(self, path, x, y=None, sub_batch_size=None, **kwargs):
        super().__init__(**kwargs)
        if "key" not in x:
            raise ValueError(
                "A replay finds its examples by their keys. "
                f"Received: x with {sorted(x)} and no 'key'"
            )
        self.x, self.y = x, y
        self.steps = recorded_rows(path, x["key"])
        largest = max(len(rows) for rows in self.steps)
        if sub_batch_size not in (None, largest):
            raise ValueError(
                "The run was recorded with another sub-batch size, so that "
                "learning rates and schedules do not fit. Received: "
                f"sub_batch_size={sub_batch_size}, recorded={largest}"
            )

    def __len__(self):
        return len(self.steps)

    def __getitem__(self, step):
        if not 0 <= step < len(self.steps):
            raise ValueError(
                f"The recorded run has {len(self.steps)} steps. "
                f"Received: step={step}. Train for fewer, or record more."
            )
        rows = self.steps[step]
        x = {name: array[rows] for name, array in self.x.items()}
        return (x,) if self.y is None else (x, self.y[rows])


@keras_jest_export("keras_jest.data.export_subset")
def export_subset(log, path, min_count=1, uid_of_key=None):
    """Write which examples a run chose as a DataComp-style subset file.

    Args:
        log: str or path of a file that `keras_jest.callbacks.SelectionLog`
            wrote, in a run whose batches had `"key"`.
        path: str or path of the `.npy` file to write: a sorted array of 128
            bits for each example, two `u8` as DataComp's tools read them.
        min_count: int. How often an example must have been picked.
        uid_of_key: dict or `None`. The example's uid, 32 hexadecimal digits,
            by its key as `keras_jest.data.key_to_hex` writes it. `None` takes
            the keys themselves.

    Returns:
        The array.

    Raises:
        ValueError: if the run had no keys.

    Example:

    ```python
    from keras_jest.data import export_subset

    # subset = export_subset("picks.parquet", "subset.npy", min_count=2)
    ```
    """
    keys, counts = np.unique(read_log(log)["key"], return_counts=True)
    uids = keys[counts >= min_count].tolist()
    if uid_of_key is not None:
        uids = [uid_of_key[key] for key in uids]
    halves = [(int(uid[:16], 16), int(uid[16:32], 16)) for uid in uids]
    subset = np.sort(np.array(halves, np.dtype("u8,u8")))
    np.save(path, subset)
    return subset
