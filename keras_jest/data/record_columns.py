"""What records are called, and a column of what they say."""

import numpy as np

from keras_jest.data.check_records import check_is_sequence
from keras_jest.data.identity import key_of
from keras_jest.data.key_index import KeyIndex


def record_keys(records):
    """The keys of records, one of each.

    Args:
        records: what `super_batches` takes.

    Returns:
        Tuple of an int32 array of shape `(n, 4)` and its `KeyIndex`.

    Raises:
        ValueError: there are no records, or two share a key.
    """
    check_is_sequence(records)
    if not len(records):
        raise ValueError("Expected one record or more. Received: none.")
    keys = getattr(records, "keys", None)
    if not isinstance(keys, np.ndarray):
        keys = np.stack([key_of(records[row]) for row in range(len(records))])
    index = KeyIndex.from_keys(keys)
    repeated = index.duplicates()
    if len(repeated):
        raise ValueError(
            "A key must name one record. Received: "
            f"{len(repeated)} of {len(keys)} keys more than once, such as that "
            f"of the records {repeated[0].tolist()}"
        )
    return keys, index


def record_column(records, name):
    """A field of each record, or of its JSON.

    Args:
        records: what `super_batches` takes.
        name: str, such as `"shard"` or a field of the JSON. A field of the
            record itself comes first.

    Returns:
        List of str, `""` where a record lacks it.

    Raises:
        ValueError: no record has such a field.
    """
    if hasattr(records, "column"):  # Without reading pictures.
        values = records.column(name)
    else:
        values = [
            field(records[row], name, records[row].get("json"))
            for row in range(len(records))
        ]
    if all(value is None for value in values):
        raise ValueError(
            "Expected `columns` to be fields of the records, or of their "
            f"JSON. Received: {name!r}, which no record has. The first has "
            f"{field_names(records)}."
        )
    return ["" if value is None else str(value) for value in values]


def field(record, name, fields):
    value = record.get(name)
    return (fields or {}).get(name) if value is None else value


def field_names(records):
    """What may be a column; nothing if the first record cannot be read now."""
    try:
        record = records[0]
    except (OSError, ValueError):
        return []
    hidden = {"image", "text", "key", "id", "json"}
    own = [name for name in record if name not in hidden]
    return sorted({*own, *(record.get("json") or {})})
