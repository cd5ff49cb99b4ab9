"""Reads CSV files as Arrow tables of bytes, row by row as they are."""

import codecs
import csv
import io
import os

from keras_jest.data.arrow_file import EXTRA
from keras_jest.data.require import require

DELIMITERS = (",", "\t", ";", "|")
ENCODINGS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")
BLOCK = 2**24  # No row may be longer.


def csv_layout(path):
    """Find out how a CSV file is written, by its first row.

    Args:
        path: str. The file; compressed if its name says how.

    Returns:
        Tuple of the encoding, the delimiter and the names of the columns.
    """
    pyarrow = require("pyarrow", EXTRA)
    with pyarrow.input_stream(path) as file:
        start = file.read(2**20)
    encoding = ENCODINGS.get(start[:2], "utf-8")
    text = start.decode(
        "utf-8-sig" if encoding == "utf-8" else encoding, "replace"
    )
    rows = {
        delimiter: next(csv.reader(io.StringIO(text), delimiter=delimiter), [])
        for delimiter in DELIMITERS
    }
    delimiter = max(DELIMITERS, key=lambda of: len(rows[of]))
    return encoding, delimiter, rows[delimiter]


def read_csv(path, columns):
    """Read some columns of a CSV file, as bytes.

    A caption that is no UTF-8 is one bad record, not a file that cannot be
    read, and `"007"` is a text.

    Args:
        path: str. The file.
        columns: list of str.

    Returns:
        Tuple of a `pyarrow.Table` and a list of str, which rows have another
        number of columns than the first, by their numbers.

    Raises:
        ValueError: It cannot be read.
    """
    pyarrow = require("pyarrow", EXTRA)
    reader = require("pyarrow.csv", EXTRA)
    encoding, delimiter, names = csv_layout(path)
    columns = sorted(columns, key=names.index)
    bad = []

    def skip(row):
        if "\n" in row.text and row.text.count('"') % 2:
            return "error"  # The quote would swallow all that follows.
        bad.append(f"row {row.number}")
        return "skip"

    try:
        table = reader.read_csv(
            path,
            # Only one thread knows the numbers of rows.
            reader.ReadOptions(
                use_threads=False, block_size=BLOCK, encoding=encoding
            ),
            reader.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                invalid_row_handler=skip,
            ),
            reader.ConvertOptions(
                include_columns=columns,
                column_types=dict.fromkeys(columns, pyarrow.binary()),
                strings_can_be_null=False,
            ),
        )
    except pyarrow.ArrowInvalid as error:
        raise no_csv(path, error) from error
    if ends_open(path, table):
        raise no_csv(path, "a quote is open where it ends")
    return table, bad


def ends_open(path, table):
    """Whether the last value is quoted, and the quote is never closed.

    Arrow then reads on to the end of the file, so that a quote that somebody
    forgot would swallow all rows behind it.
    """
    last = table.column(table.num_columns - 1)
    if not len(last) or b"\n" not in last[-1].as_py():
        return False
    if path.lower().endswith(COMPRESSED):  # Its end cannot be looked at.
        return False
    with open(path, "rb") as file:
        file.seek(-min(os.path.getsize(path), 64), os.SEEK_END)
        return not file.read().rstrip(b"\r\n\0").endswith(b'"')


def no_csv(path, why):
    return ValueError(
        "Expected a CSV file with a row of names, in which each quote that "
        f"opens is closed. Received: {os.fspath(path)!r} ({why})"
    )
