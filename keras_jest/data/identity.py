"""What a record is known by, wherever it lies."""

import hashlib
import math

import numpy as np

from keras_jest.data.key_index import KeyIndex
from keras_jest.data.record_key import record_key

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


def check_identity(identity, choices, field):
    """Raise unless an identity is a text.

    Args:
        identity: as a reader of records was given it.
        choices: str, which there are but for fields.
        field: str, what the others are.
    """
    if not isinstance(identity, str):
        raise ValueError(
            f"Expected `identity` to be {choices} or {field}. "
            f"Received: identity={identity!r}"
        )


def hashed_keys(ids):
    """The keys of records by what they are known by.

    Args:
        ids: iterable of bytes, what `record_key` hashes.

    Returns:
        int32 array of shape `(n, 4)` that can only be read.
    """
    hashes = [hashlib.blake2b(of, digest_size=16).digest() for of in ids]
    keys = np.frombuffer(b"".join(hashes), "<i4").astype("int32")
    keys = keys.reshape(-1, 4)
    keys.flags.writeable = False
    return keys


def field_ids(ids, identity, field, show):
    """What records have in a field, to be hashed.

    Args:
        ids: list of str or `None`, as `record_id` gives them.
        identity: str, the field.
        field: str, what that is.
        show: function that names records by their numbers.

    Returns:
        List of bytes.

    Raises:
        ValueError: Some records have none.
    """
    without = [row for row, text in enumerate(ids) if text is None]
    if without:
        raise ValueError(
            f"Expected identity={identity!r} to be {field} of each record, a "
            "text or a number. Take another, or 'key'. Received: "
            f"{len(without)} of {len(ids)} records without, such as "
            f"{show(without[:MAX_SHOWN])}"
        )
    return [text.encode("utf-8", "backslashreplace") for text in ids]


def check_unique(keys, identity, show):
    """Raise if some records share a key.

    Args:
        keys: int32 array of shape `(n, 4)`.
        identity: str, what they are made of.
        show: function that names records by their numbers.
    """
    pairs = KeyIndex.from_keys(keys).duplicates()
    if len(pairs):
        shown = [show(pair) for pair in pairs[:MAX_SHOWN]]
        raise ValueError(
            f"Expected identity={identity!r} to name one record. Leave the "
            "repeated ones out, or take another identity, such as "
            f"{SHARD_AND_KEY!r} of shards. Received: {len(pairs)} that are "
            f"there again, such as {'; '.join(shown)}"
        )
