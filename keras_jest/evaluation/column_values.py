"""The columns by which the records of a run are counted."""

import numpy as np

from keras_jest.data.record_columns import record_column

# The tables have columns of their own.
NAMES = ("step", "kept", "seen", "dropped", "score", "record", "key")
MOST_VALUES = 10_000


def column_values(records, columns):
    """By the name of each column: its sorted values, and a code per record.

    Args:
        records: as for `selection_tables`.
        columns: sequence of str, or dict of sequences, by their names.

    Raises:
        ValueError: a name is taken, or no record has such a column, or it has
            not one value for each record, or too many.
    """
    if isinstance(columns, str):
        raise ValueError(
            f"Expected a sequence of columns, such as [{columns!r}]. "
            f"Received: columns={columns!r}"
        )
    for name in columns:
        if name in NAMES:
            raise ValueError(
                f"A column needs a name other than {NAMES}. Received: {name!r}"
            )
    if not isinstance(columns, dict):
        columns = {name: record_column(records, name) for name in columns}
    return {
        name: grouped(name, of, len(records)) for name, of in columns.items()
    }


def grouped(name, values, num_records):
    if len(values) != num_records:
        raise ValueError(
            "A column has a value for each record. Received: "
            f"{len(values)} values of {name!r} for {num_records} records"
        )
    texts = np.array([as_utf8(value) for value in values], object)
    groups, codes = np.unique(texts, return_inverse=True)
    if len(groups) > MOST_VALUES:
        raise ValueError(
            f"Expected a column of at most {MOST_VALUES} values, to count by. "
            f"Received: {len(groups)} values of {name!r}. Group them, such as "
            "numbers by ranges, and give a dict."
        )
    return groups, codes


def as_utf8(value):
    """A value as a text that parquet and pages can hold."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")
