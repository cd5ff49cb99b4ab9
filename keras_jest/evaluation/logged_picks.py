"""The picks of a log, as numbers of records."""

from typing import NamedTuple

import numpy as np

from keras_jest.data.open_log import as_far_as_whole
from keras_jest.data.open_log import open_log
from keras_jest.data.record_key import keys_from_hex
from keras_jest.data.record_key import keys_to_hex
from keras_jest.data.recording import recorded_settings

COLUMNS = ["step", "row", "score", "seen_score", "key"]


class Picks(NamedTuple):
    """Arrays of some whole steps; `record` is a number of a record."""

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
            pool.
    """
    recorded_settings(log)
    is_empty = True
    with open_log(log, COLUMNS) as (schema, tables):
        if "key" not in schema.names:
            raise ValueError(
                "Only the log of a run whose batches had 'key' tells which "
                f"records it chose. Received: {log} with the columns "
                f"{schema.names}"
            )
        for table in as_far_as_whole(log, tables):
            step, row, score, seen = (numbers(table, of) for of in COLUMNS[:4])
            keys = keys_from_hex(table["key"].to_pylist())
            is_empty = is_empty and not len(step)
            yield Picks(step, row, score, seen, found(keys, index, log))
    if is_empty:
        raise ValueError(
            f"Expected a log of one step or more. Received: {log}, with none."
        )


def numbers(table, name):
    """A column, NaN where a log of an earlier version has none."""
    if name in table.column_names:
        return table[name].to_numpy()
    return np.full(len(table), np.nan, "float32")


def found(keys, index, log):
    """The numbers of the records of keys; each must be there."""
    records = index.find(keys)
    unknown = np.flatnonzero(records < 0)
    if len(unknown):
        raise ValueError(
            f"{len(unknown)} of {len(keys)} rows of the run are not among "
            f"these {len(index)} records: was it trained on another pool, or "
            "are its keys made of another `identity` (see `TarShards`)? "
            f"Received: {log}, with keys that are not here, such as "
            f"{keys_to_hex(keys[unknown[:1]])[0]}"
        )
    return records
