"""What a record is known by, wherever it lies."""

import hashlib
import json
import math

import numpy as np

from keras_jest.data.key_index import KeyIndex
from keras_jest.data.record_key import record_key
from keras_jest.data.short_name import short_name
from keras_jest.data.tar_members import read_at

SHARD_AND_KEY = "shard/key"
KEY = "key"
MAX_SHOWN = 3


def key_of(record):
    """The key of a record in a batch: int32 of shape `(4,)`.

    It is made of the record's `"id"`, if it has one, and else of its shard
    and its key.
    """
    if "id" in record:
        return record_key(record["id"])
    return record_key(record["key"], record.get("shard", ""))


def identity_of(records):
    """The identity of records, or `None` if nobody says what it is."""
    if hasattr(records, "identity"):
        return records.identity
    return None if "id" in records[0] else SHARD_AND_KEY


def record_id(identity, key, fields):
    """The `"id"` of a record that is not known by its shard.

    Args:
        identity: str, `"key"` or the name of a field.
        key: str, the record's key.
        fields: dict, its JSON.

    Returns:
        str, or `None` if it has none.
    """
    if identity == KEY:
        return key
    value = fields.get(identity)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and math.isfinite(value):
        return str(value)
    return value if isinstance(value, str) and value else None


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
        ids = shards_and_keys(index, names)
    elif identity == KEY:
        ids = index.each_key()
    else:
        ids = fields(index, names, paths, identity)
    hashes = [hashlib.blake2b(of, digest_size=16).digest() for of in ids]
    keys = np.frombuffer(b"".join(hashes), "<i4").astype("int32")
    keys = keys.reshape(-1, 4)
    if identity != SHARD_AND_KEY:
        check_unique(keys, index, names, identity)
    keys.flags.writeable = False
    return keys


def shards_and_keys(index, names):
    """Yield what `record_key` hashes, for each record."""
    prefixes = [f"{of}/".encode("utf-8", "backslashreplace") for of in names]
    shards = index.shards.tolist()
    for shard, key in zip(shards, index.each_key(), strict=True):
        yield prefixes[shard] + key


def fields(index, names, paths, identity):
    """A list of what records have in a field of their JSON."""
    ids = [record_id(identity, "", of) for of in each_json(index, names, paths)]
    without = [row for row, text in enumerate(ids) if text is None]
    if without:
        raise ValueError(
            f"Expected identity={identity!r} to be a field of the JSON of "
            "each record, a text or a number. Take another field, or 'key' "
            f"or 'shard/key'. Received: {len(without)} of {len(ids)} records "
            f"without, such as {show(without[:MAX_SHOWN], index, names)}"
        )
    return [text.encode("utf-8", "backslashreplace") for text in ids]


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


def check_unique(keys, index, names, identity):
    pairs = KeyIndex.from_keys(keys).duplicates()
    if len(pairs):
        shown = [show(pair, index, names) for pair in pairs[:MAX_SHOWN]]
        raise ValueError(
            f"Expected identity={identity!r} to name one record. Leave the "
            "repeated ones out, or take another identity, such as "
            f"'shard/key'. Received: {len(pairs)} that are there again, such "
            f"as {'; '.join(shown)}"
        )


def show(rows, index, names):
    """Name records by their keys and shards."""
    return ", ".join(
        f"{short_name(index.key(row))!r} of "
        f"{short_name(names[index.shards[row]])!r}"
        for row in rows
    )
