"""What the records of tar shards are known by."""

import functools
import json

import numpy as np

from keras_jest.data.identity import KEY
from keras_jest.data.identity import SHARD_AND_KEY
from keras_jest.data.identity import check_unique
from keras_jest.data.identity import field_ids
from keras_jest.data.identity import hashed_keys
from keras_jest.data.identity import record_id
from keras_jest.data.short_name import short_name
from keras_jest.data.tar_members import read_at


def checked_keys(index, names, paths, identity):
    """Make the keys of all records, and check that each names one.

    Args:
        index: `ShardIndex`.
        names: list of str, the shards' names.
        paths: list of str, where they lie.
        identity: str, as in `TarShards`.

    Returns:
        int32 array of shape `(n, 4)` that can only be read.

    Raises:
        ValueError: Some records have no such identity, or share one.
    """
    if identity == SHARD_AND_KEY:
        return hashed_keys(shards_and_keys(index, names))
    show = functools.partial(show_records, index=index, names=names)
    if identity == KEY:
        ids = index.each_key()
    else:
        fields = each_json(index, names, paths)
        ids = [record_id(identity, "", of) for of in fields]
        ids = field_ids(ids, identity, "a field of the JSON", show)
    keys = hashed_keys(ids)
    check_unique(keys, identity, show)
    return keys


def shards_and_keys(index, names):
    """Yield what `record_key` hashes, for each record."""
    prefixes = [f"{of}/".encode("utf-8", "backslashreplace") for of in names]
    shards = index.shards.tolist()
    for shard, key in zip(shards, index.each_key(), strict=True):
        yield prefixes[shard] + key


def each_json(index, names, paths):
    """Yield the JSON of each record; a shard is opened once."""
    first_rows = np.searchsorted(index.shards, np.arange(len(paths) + 1))
    for shard, path in enumerate(paths):
        spans = index.spans[slice(*first_rows[shard : shard + 2]), 2].tolist()
        if not spans:
            continue
        with open(path, "rb", buffering=0) as file:
            for span in spans:
                yield json.loads(read_at(file, *span) or b"{}")


def show_records(rows, index, names):
    """Name records by their keys and shards."""
    return ", ".join(
        f"{short_name(index.key(row))!r} of "
        f"{short_name(names[index.shards[row]])!r}"
        for row in rows
    )
