"""Which rows of a store are whose, in a file beside its parts."""

import contextlib
import math
import os
import re

import numpy as np

from keras_jest.data.arrow_file import check_columns
from keras_jest.data.arrow_file import map_arrow_file
from keras_jest.data.arrow_file import write_arrow_file
from keras_jest.data.key_index import KeyIndex
from keras_jest.data.record_key import key_to_hex
from keras_jest.data.record_key import keys_from_hex
from keras_jest.data.store_parts import check_part
from keras_jest.data.store_parts import part_name
from keras_jest.data.store_parts import read_part

# Who reads a folder as one table leaves out what begins with a line.
INDEX = "_index.arrow"
METADATA = "keras_jest_store_index"
FORMAT = 1
PART = re.compile(r"part-(\d{5,})\.arrow")
MAX_SHOWN = 5


def open_store_index(folder):
    """Return the index of a complete store.

    It is read from the file beside the parts, or made and kept there if
    there is none for the parts as they are. Where the folder can only be
    read it is in memory alone.

    Args:
        folder: str.

    Returns:
        Tuple of a `KeyIndex` of all rows, counted through all parts, and the
        metadata of the store.

    Raises:
        ValueError: Parts are missing, damaged or of several stores, or a key
            is there twice.
    """
    stamp = stamp_of(folder)
    path = os.path.join(folder, INDEX)
    file = read_index(path, stamp)
    if file is not None:
        columns, store = file.columns, file.metadata["store"]
        return KeyIndex(**columns), store
    index, store = make_index(folder, len(stamp))
    columns = {name: getattr(index, name) for name in KeyIndex.COLUMNS}
    metadata = {"format": FORMAT, "stamp": stamp, "store": store}
    # Another's store, perhaps, or a disk that the store has filled.
    with contextlib.suppress(OSError):
        write_arrow_file(path, columns, METADATA, metadata)
    return index, store


def check_index(folder):
    """Raise unless the index that is kept, if any, is as it was written."""
    with contextlib.suppress(FileNotFoundError):
        path = os.path.join(folder, INDEX)
        try:
            check_columns(map_arrow_file(path, METADATA))
        except ValueError as error:
            raise ValueError(
                "Expected the index of a store, as it was written. Delete "
                f"it: it is made anew. Received: {path!r} ({error})"
            ) from error


def stamp_of(folder):
    """Size and time of each part, in order; raise if there are gaps."""
    stamps = {}
    if os.path.isdir(folder):
        for entry in os.scandir(folder):
            match = PART.fullmatch(entry.name)
            if match:
                stat = entry.stat()
                stamps[int(match[1])] = [stat.st_size, stat.st_mtime_ns]
    if not stamps:
        raise ValueError(
            "Expected the folder of a store, with parts such as "
            f"{part_name(0)!r}. Received: {folder!r}, where there is none"
        )
    check_complete(folder, stamps, max(stamps) + 1)
    return [stamps[number] for number in range(len(stamps))]


def check_complete(folder, numbers, num_parts):
    """Raise unless there are these parts, and no more."""
    missing = [part for part in range(num_parts) if part not in numbers]
    if missing:
        names = ", ".join(map(part_name, missing[:MAX_SHOWN]))
        raise ValueError(
            f"Expected a store of {num_parts} parts. Build it again, which "
            f"makes only what is missing. Received: {folder!r} without "
            f"{len(missing)} of them: {names}"
        )
    if len(numbers) > num_parts:
        raise ValueError(
            f"Expected a store of {num_parts} parts. Move those of another "
            f"store out of the folder. Received: {folder!r} with "
            f"{len(numbers)} parts"
        )


def read_index(path, stamp):
    """Map the index, if there is one for the parts as they are."""
    try:
        file = map_arrow_file(path, METADATA)
    except (ValueError, FileNotFoundError):
        return None
    metadata = file.metadata
    is_ours = (metadata.get("format"), metadata.get("stamp")) == (FORMAT, stamp)
    return file if is_ours else None


def make_index(folder, num_parts):
    """Read all keys, and check that the parts are those of one store."""
    keys, store = [], None
    for number in range(num_parts):
        path = os.path.join(folder, part_name(number))
        part = read_part(path)
        if store is None:
            store = part.metadata
            num_expected = math.ceil(store["num_records"] / store["part_size"])
            check_complete(folder, range(num_parts), num_expected)
        check_same(path, part.metadata, store)
        check_part(path, part, ["key"])
        check_rows(path, len(part.columns["key"]), number, store)
        keys.append(keys_from_hex(part.columns["key"]))
    keys = np.concatenate(keys)
    index = KeyIndex.from_keys(keys)
    check_unique(folder, index, keys, store)
    return index, store


def check_same(path, metadata, store):
    """Raise unless a part is of the same store as the first."""
    names = [name for name in store if metadata.get(name) != store[name]]
    if names or metadata.keys() != store.keys():
        expected = {name: store[name] for name in names}
        received = {name: metadata.get(name) for name in names}
        raise ValueError(
            "Expected all parts to be of one store. Delete this one and build "
            f"the store again. Received: {path!r} with {received}, where the "
            f"first part has {expected}"
        )


def check_rows(path, num_rows, number, store):
    expected = min(
        store["part_size"], store["num_records"] - number * store["part_size"]
    )
    if num_rows != expected:
        raise ValueError(
            f"Expected {expected} rows in part {number} of a store of "
            f"{store['num_records']} records, {store['part_size']} a part. "
            "Delete it and build the store again. Received: "
            f"{path!r} with {num_rows} rows"
        )


def check_unique(folder, index, keys, store):
    pairs = index.duplicates()
    if len(pairs):
        shown = "; ".join(
            f"{key_to_hex(keys[one])} in "
            f"{part_name(one // store['part_size'])} and "
            f"{part_name(two // store['part_size'])}"
            for one, two in pairs[:MAX_SHOWN].tolist()
        )
        raise ValueError(
            "Expected each key once. If a file is a copy of another, delete it "
            "and build the store again; else build it over records whose "
            f"`identity` names one. Received: {folder!r} with {len(pairs)} "
            f"keys that are there again, such as {shown}"
        )
