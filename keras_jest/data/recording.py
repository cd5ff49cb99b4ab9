"""What a recorded run was trained on, as rows, settings or a subset."""

import collections
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.open_log import SETTINGS
from keras_jest.data.open_log import as_far_as_whole
from keras_jest.data.open_log import open_log
from keras_jest.data.record_key import key_to_hex
from keras_jest.data.whole_file import whole_file
from keras_jest.types import StrPath


@keras_jest_export("keras_jest.data.recorded_rows")
def recorded_rows(path: StrPath, keys: np.ndarray) -> list[np.ndarray]:
    """Find what a run was trained on, step by step, among these keys.

    What was chosen does not depend on the learner if an online model scored:
    the sequence serves every other learner of the same sub-batch size.

    Args:
        path: str or path of a file that `keras_jest.callbacks.SelectionLog`
            wrote, in a run whose batches had `"key"`. A run that has not
            ended, or was killed, is read by the name of its own file,
            `"picks.parquet.unfinished"`. A damaged file is read as far as it
            is whole, and a warning says how many steps these are.
        keys: int32 array of shape `(n, 4)`, the `"key"` of each example, as
            in a batch or in `TarShards.keys`.

    Returns:
        List with an int array for each step: rows of `keys`, in the order in
        which they were picked. No step is there in half.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the run had no keys, or some of them are not here, or
            stand here more than once; or if nothing can be read, as of a
            parquet file whose end is lost.

    Example:

    ```python
    from keras_jest.data import recorded_rows

    # steps = recorded_rows("picks.parquet", shards.keys)
    # subset = np.unique(np.concatenate(steps))  # what was ever chosen
    # super_batches(shards, tokenizer, 256, 32768, rows=subset)
    ```

    Reference:
        - [Evans et al., 2023](https://arxiv.org/abs/2312.05328), on
          amortisation.
    """
    row_of = {key_to_hex(key): row for row, key in enumerate(keys)}
    if len(row_of) < len(keys):
        raise ValueError(
            "A key must name one example. Received: "
            f"{len(keys) - len(row_of)} of {len(keys)} keys more than once. "
            "Drop the repeated rows, or give them keys of their own."
        )
    steps, rows, unknown = [], [], set()
    for table in read_keys(path):
        found = [row_of.get(key, -1) for key in table["key"].to_pylist()]
        steps.append(table["step"].to_numpy())
        rows.append(np.array(found, "int64"))
        if -1 in found:
            unknown.update(set(table["key"].to_pylist()) - row_of.keys())
    if unknown:
        raise ValueError(
            f"{len(unknown)} keys of the recorded run are not among "
            f"these {len(row_of)}: was it trained on other data, or are its "
            "keys made of another `identity` (see `TarShards`)? "
            f"Received: keys that are not here, such as {min(unknown)}"
        )
    if not rows:
        return []
    starts = np.flatnonzero(np.diff(np.concatenate(steps))) + 1
    return np.split(np.concatenate(rows), starts)


@keras_jest_export("keras_jest.data.recorded_settings")
def recorded_settings(path: StrPath) -> dict[str, Any]:
    """Tell how a recorded run selected.

    Args:
        path: str or path of a file that `keras_jest.callbacks.SelectionLog`
            wrote, complete, unfinished or damaged, as for
            `keras_jest.data.recorded_rows`.

    Returns:
        Dict: the policy and the losses as Keras writes them, the seed and
        how often it had been drawn from, the schedule and the backend.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if there are no settings in the file, or it cannot be
            read.

    Example:

    ```python
    from keras_jest.data import recorded_settings

    # recorded_settings("picks.parquet")["selection"]["config"]["gain"]
    ```
    """
    with open_log(path) as (schema, _):
        metadata = schema.metadata or {}
    if SETTINGS not in metadata:
        raise ValueError(
            "The file holds no settings of a run: `SelectionLog` writes them. "
            f"Received: {path}"
        )
    return json.loads(metadata[SETTINGS])


def read_keys(path, columns=("step", "key")):
    """Yield columns of a log, of which each line has a key, by tables."""
    with open_log(path, list(columns)) as (schema, tables):
        check_has_keys("key" in schema.names, path)
        for table in as_far_as_whole(path, tables):
            check_has_keys(not table["key"].null_count, path)
            yield table


def check_has_keys(has_keys, path):
    if not has_keys:
        raise ValueError(
            "Only the log of a run whose batches had 'key', in every step, "
            "tells which examples it chose: row numbers hold for its own "
            f"super-batches alone. Received: {path}"
        )


@keras_jest_export("keras_jest.data.export_subset")
def export_subset(
    log: StrPath,
    path: StrPath,
    min_count: int = 1,
    uid_of_key: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Write which examples a run chose as a DataComp-style subset file.

    Args:
        log: str or path of a file that `keras_jest.callbacks.SelectionLog`
            wrote, in a run whose batches had `"key"`; an unfinished or a
            damaged one as `keras_jest.data.recorded_rows` reads it.
        path: str or path of the `.npy` file to write, which replaces an older
            one when it is whole: a sorted array of 128
            bits for each example, two `u8` as DataComp's tools read them.
        min_count: int. How often an example must have been picked.
        uid_of_key: dict or `None`. The example's uid, 32 hexadecimal digits,
            by its key as `keras_jest.data.key_to_hex` writes it. `None` takes
            the keys themselves. Of shards with `identity="uid"` it is
            `{key_to_hex(record_key(uid)): uid for uid in uids}`.

    Returns:
        The array.

    Raises:
        FileNotFoundError: if there is no such log.
        ValueError: if the run had no keys, or the log cannot be read, or a
            uid is missing or no such text.

    Example:

    ```python
    from keras_jest.data import export_subset

    # subset = export_subset("picks.parquet", "subset.npy", min_count=2)
    ```
    """
    counts: collections.Counter[str] = collections.Counter()
    for table in read_keys(log):
        counts.update(table["key"].to_pylist())
    uids = [key for key, count in counts.items() if count >= min_count]
    if uid_of_key is not None:
        uids = [hex_uid(uid_of_key, key) for key in uids]
    halves = [(int(uid[:16], 16), int(uid[16:32], 16)) for uid in uids]
    subset = np.sort(np.array(halves, np.dtype("u8,u8")))
    path = os.fspath(path)
    with whole_file(path if path.endswith(".npy") else f"{path}.npy") as file:
        np.save(file, subset)
    return subset


def hex_uid(uid_of_key, key):
    """The uid of a key, or an error that says what it should be."""
    uid = uid_of_key.get(key)
    try:
        if len(bytes.fromhex(uid)) == 16 and len(uid) == 32:
            return uid
    except (TypeError, ValueError):
        pass
    raise ValueError(
        "Expected `uid_of_key` to have, for each key that was chosen, a uid "
        "of 32 hexadecimal digits, as subsets of DataComp hold. Other uids "
        f"are looked up by `recorded_rows`. Received: {uid!r} for the key "
        f"{key!r}"
    )
