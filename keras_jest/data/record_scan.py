"""Checks every entry of a source, and names the sound ones."""

import concurrent.futures
import os

import keras
import numpy as np

from keras_jest.data.bad_sample import BadSample
from keras_jest.data.check_sample import Fault
from keras_jest.data.entry import check_entry
from keras_jest.data.entry import content_digest
from keras_jest.data.identity import hashed_keys
from keras_jest.data.key_index import KeyIndex
from keras_jest.data.record_index import RecordIndex

ROWS_AT_A_TIME = 256


def build_index(source, check_pixels, verbose):
    """Check all entries of a source, some at a time.

    Args:
        source: `TableSource` or `FolderSource`.
        check_pixels: bool. Whether to decode each picture.
        verbose: 0 or 1. Whether to show a progress bar over the entries.

    Returns:
        A `RecordIndex`.
    """
    names, faults = scan(source, check_pixels, verbose)
    names = [
        name.encode("utf-8", "backslashreplace")
        for name in source.short_names(names)
    ]
    keys = {row: name for row, name in enumerate(names) if row not in faults}
    distinguish(keys, source)
    for row in later_ones(keys):
        faults[row] = "duplicate_key"
        keys.pop(row, None)  # One that is there three times is in two pairs.
    bad = [
        BadSample(faults[row], source.name, names[row].decode())
        for row in sorted(faults)
    ]
    bad += [BadSample(*of) for of in source.bad]
    sizes = np.fromiter(map(len, keys.values()), "int64", len(keys))
    return RecordIndex(
        np.frombuffer(b"".join(keys.values()), "uint8"),
        np.cumsum(sizes),
        bad,
        {"lost": [], "endings": source.endings, "foreign": source.foreign},
        rows=np.fromiter(keys, "int64", len(keys)),
    )


def scan(source, check_pixels, verbose):
    """Return the name of each entry, and the faults by their rows."""
    starts = range(0, len(source), ROWS_AT_A_TIME)
    progress = keras.utils.Progbar(
        len(source), verbose=verbose, unit_name="record"
    )
    names, faults = [], {}

    def check(start):
        return check_part(source, start, check_pixels)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        for some_names, some_faults in threads.map(check, starts):
            names += some_names
            faults.update(some_faults)
            progress.update(len(names))
    return names, faults


def check_part(source, start, check_pixels):
    """As `scan`, for the entries from a row on."""
    stop = min(start + ROWS_AT_A_TIME, len(source))
    names, faults = [], {}
    for row, entry in enumerate(source.entries(start, stop), start):
        name = entry.name
        try:
            check_entry(entry, check_pixels)
            names.append(name or content_digest(entry))
        except Fault as fault:
            faults[row] = str(fault)
            names.append(name or f"row {row}")
    return names, faults


def distinguish(keys, source):
    """Add to names that several records have what tells them apart.

    It depends on the record alone, so that an order means nothing.

    Args:
        keys: dict of bytes by rows, which is changed.
        source: as in `build_index`.
    """
    shared = {row for pair in repeated(keys) for row in pair}
    for row in sorted(shared):
        (entry,) = source.entries(row, row + 1)
        if entry.name:
            keys[row] += b"#" + content_digest(entry).encode()


def later_ones(keys):
    """The rows whose keys earlier rows have."""
    return [max(pair) for pair in repeated(keys)]


def repeated(keys):
    """Pairs of rows that have one key: list of lists of two."""
    rows = np.array(list(keys), "int64")
    pairs = KeyIndex.from_keys(hashed_keys(keys.values())).duplicates()
    return rows[pairs].tolist()
