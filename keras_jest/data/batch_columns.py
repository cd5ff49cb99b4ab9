"""Arrays with a row for each record, which become entries of batches."""

import collections.abc

import numpy as np

TAKEN = ("images", "token_ids", "key")
OF_A_STORE = "reference_"


def with_columns(records, example, columns, rows):
    """Pair records with their values, by number: nothing is asked of keys.

    Args:
        records: those of a dataset.
        example: function that turns one into a row of each array of a batch.
        columns: dict of arrays, as `checked_columns` returns it.
        rows: int array or `None`. The numbers that the records have among
            the rows of the arrays.

    Returns:
        Tuple of such records and of such a function, with the columns.
    """
    if rows is not None:
        rows = np.asarray(rows)
        columns = {name: of[rows] for name, of in columns.items()}
    return RecordsWithColumns(records, columns), ExampleWithColumns(example)


class RecordsWithColumns:
    """Records, each in a pair with its values."""

    def __init__(self, records, columns):
        self.records, self.columns = records, columns

    def __len__(self):
        return len(self.records)

    def __getitem__(self, number):
        values = {name: of[number] for name, of in self.columns.items()}
        return self.records[number], values


class ExampleWithColumns:
    """Turns such a pair into a row of each array of a batch."""

    def __init__(self, example):
        self.example = example

    def __call__(self, pair):
        record, values = pair
        return {**self.example(record), **values}


def checked_columns(columns, num_records, has_store):
    """Columns as arrays, or an error before the first step.

    Args:
        columns: as `super_batches` was given it.
        num_records: int, of all records.
        has_store: bool. Whether batches get what a reference said, too.

    Returns:
        A dict of arrays, empty if there are none.
    """
    columns = {} if columns is None else columns
    if not isinstance(columns, collections.abc.Mapping):
        raise ValueError(
            "Expected `columns` to be a dict of arrays, by the names that they "
            f"have in a batch. Received: columns of type {type(columns)}"
        )
    for name in columns:
        check_name(name, has_store)
    return {
        name: checked_column(name, values, num_records)
        for name, values in columns.items()
    }


def check_name(name, has_store):
    """Raise unless a column may have a name."""
    is_text = isinstance(name, str)
    is_taken = name in TAKEN
    if is_text and has_store:
        is_taken |= name.startswith(OF_A_STORE)
    if not is_text or is_taken:
        raise ValueError(
            "A column must have another name than what a batch holds already: "
            f"{list(TAKEN)}, and with a store all that begins with "
            f"{OF_A_STORE!r}. Received: {name!r} in `columns`"
        )


def checked_column(name, values, num_records):
    """Values of all records as an array of numbers, or an error."""
    try:
        column = np.asarray(values)
    except ValueError:  # Rows of several lengths.
        column = np.asarray(values, "object")
    if column.dtype.kind not in "biuf" or column.shape[:1] != (num_records,):
        raise ValueError(
            "Expected each of `columns` to be an array of numbers with a row "
            f"for each of the {num_records} records, in their order, whatever "
            "`rows` leaves out. Rows of several lengths are filled up, by -1 "
            f"in concepts. Received: {name!r} of dtype {column.dtype} and "
            f"shape {column.shape}"
        )
    return column


def named_for_fingerprint(columns):
    """Columns by names that no argument of `super_batches` has."""
    return {f"columns/{name}": of for name, of in columns.items()}
