"""The picks of a log, as numbers of records."""

from typing import NamedTuple

import numpy as np

from keras_jest.data.record_key import keys_from_hex
from keras_jest.data.record_key import keys_to_hex
from keras_jest.data.recording import read_keys
from keras_jest.data.recording import recorded_settings

COLUMNS = ["step", "row", "score", "seen_score", "key"]
MOST_LOST = 0.1


class Picks(NamedTuple):
    """Arrays of some whole steps; `record` is a number of a record.

    It is -1 of one that is not there any more.
    """

    step: np.ndarray
    row: np.ndarray
    score: np.ndarray
    seen_score: np.ndarray
    record: np.ndarray


def logged_picks(log, index):
    """Yield the `Picks` of a log, some steps at a time.

    Args:
        log: str or path of what `SelectionLog` wrote.
        index: `KeyIndex` of the records.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no log, has no keys or no step, or is of another
            pool. Up to a tenth may be lost since.
    """
    recorded_settings(log)
    num_rows, lost = 0, []
    for table in read_keys(log, COLUMNS):
        arrays = [numbers(table, of) for of in COLUMNS[:4]]
        keys = keys_from_hex(table["key"].to_pylist())
        picks = Picks(*arrays, index.find(keys))
        num_rows += len(keys)
        lost.append(keys[picks.record < 0])
        yield picks
    if not num_rows:
        raise ValueError(
            f"Expected a log of one step or more. Received: {log}, with none."
        )
    check_lost(np.concatenate(lost), num_rows, len(index), log)


def numbers(table, name):
    """A column, NaN where a log of an earlier version has none."""
    if name in table.column_names:
        return table[name].to_numpy()
    return np.full(len(table), np.nan, "float32")


def check_lost(keys, num_rows, num_records, log):
    """Raise unless nearly all that was chosen is still there."""
    if len(keys) > MOST_LOST * num_rows:
        raise ValueError(
            f"{len(keys)} of {num_rows} rows of the run are not among these "
            f"{num_records} records: was it trained on another pool, are its "
            "keys made of another `identity` (see `TarShards`), or have more "
            f"than {MOST_LOST:.0%} been lost since? Received: {log}, with "
            f"keys that are not here, such as {keys_to_hex(keys[:1])[0]}"
        )
