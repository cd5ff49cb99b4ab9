"""What a recorded run was trained on, as rows, settings or a subset."""

import json

import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.record_key import key_to_hex
from keras_jest.data.require import require

SETTINGS = b"keras_jest"


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
        ValueError: if the run had no keys, or some of them are not here, or
            stand here more than once.

    Example:

    ```python
    from keras_jest.data import recorded_rows

    # steps = recorded_rows("picks.parquet", shards.keys)
    # subset = np.unique(np.concatenate(steps))  # what was ever chosen
    # super_batches(shards, tokenizer, 256, 32768, rows=subset)
    ```

    Reference:
    - [Evans et al., 2023](https://arxiv.org/abs/2312.05328), on amortisation.
    """
    columns = read_log(path)
    row_of = {key_to_hex(key): row for row, key in enumerate(keys)}
    if len(row_of) < len(keys):
        raise ValueError(
            "A key must name one example. Received: "
            f"{len(keys) - len(row_of)} of {len(keys)} keys more than once. "
            "Drop the repeated rows, or give them keys of their own."
        )
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


@keras_jest_export("keras_jest.data.recorded_settings")
def recorded_settings(path):
    """Tell how a recorded run selected.

    Args:
        path: str or path of a file that `keras_jest.callbacks.SelectionLog`
            wrote.

    Returns:
        Dict: the policy and the losses as Keras writes them, the seed and
        how often it had been drawn from, the schedule and the backend.

    Raises:
        ValueError: if there are no settings in the file.

    Example:

    ```python
    from keras_jest.data import recorded_settings

    # recorded_settings("picks.parquet")["selection"]["config"]["gain"]
    ```
    """
    parquet = require("pyarrow.parquet", "keras-jest[parquet]")
    metadata = parquet.read_schema(path).metadata or {}
    if SETTINGS not in metadata:
        raise ValueError(
            "The file holds no settings of a run: `SelectionLog` writes them. "
            f"Received: {path}"
        )
    return json.loads(metadata[SETTINGS])


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
