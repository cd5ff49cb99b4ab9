"""Reads CSV files as Arrow tables of bytes, row by row as they are."""

import codecs
import csv
import io
import os
import re

from keras_jest.data.arrow_file import EXTRA
from keras_jest.data.require import require
from keras_jest.data.short_name import short_name

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
    try:
        with pyarrow.input_stream(path) as file:
            start = file.read(2**20)
        encoding = ENCODINGS.get(start[:2], "utf-8")
        text = start.decode(
            "utf-8-sig" if encoding == "utf-8" else encoding, "replace"
        )
        rows = {of: first_row(text, of) for of in DELIMITERS}
    except (OSError, csv.Error) as error:
        if getattr(error, "errno", None):  # It cannot be opened at all.
            raise
        raise no_csv(path, error) from error
    delimiter = max(DELIMITERS, key=lambda of: len(rows[of]))
    return encoding, delimiter, rows[delimiter]


def first_row(text, delimiter):
    lines = io.StringIO(text, newline="")  # Whichever ends they have.
    return next(csv.reader(lines, delimiter=delimiter), [])


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
    invalid = require("pyarrow", EXTRA).ArrowInvalid
    encoding, delimiter, names = csv_layout(path)
    columns = sorted(columns, key=names.index)
    bad = []

    options = {"delimiter": delimiter, "invalid_row_handler": skips(bad)}
    try:
        if encoding == "utf-8" and not is_utf8(path):
            table = read_latin(path, columns, names, options)
        else:
            table = read_rows(path, columns, options, encoding=encoding)
    except (invalid, OSError, UnicodeDecodeError) as error:
        raise no_csv(path, error) from error
    # The first is the row of names.
    ends_bad = bad[-1:] == [1 + len(table) + len(bad)]
    if not ends_bad and ends_open(path, table):
        raise no_csv(path, "a quote is open where it ends")
    return table, [f"row {number}" for number in bad]


def skips(bad):
    """A function that skips bad rows, and keeps their numbers in a list."""

    def skip(row):
        if re.search(r"[\r\n]", row.text) and row.text.count('"') % 2:
            return "error"  # The quote would swallow all that follows.
        bad.append(row.number)
        return "skip"

    return skip


def read_rows(path, columns, options, **read_options):
    """Read columns as bytes.

    Args:
        path: str.
        columns: list of str.
        options: dict. Arguments of `pyarrow.csv.ParseOptions`.
        **read_options: Those of `pyarrow.csv.ReadOptions`.
    """
    pyarrow = require("pyarrow", EXTRA)
    reader = require("pyarrow.csv", EXTRA)
    return reader.read_csv(
        path,
        # Only one thread knows the numbers of rows.
        reader.ReadOptions(use_threads=False, block_size=BLOCK, **read_options),
        reader.ParseOptions(newlines_in_values=True, **options),
        reader.ConvertOptions(
            include_columns=columns,
            column_types=dict.fromkeys(columns, pyarrow.binary()),
            strings_can_be_null=False,
        ),
    )


def read_latin(path, columns, names, options):
    """Read columns of a file that is no UTF-8, as the bytes they are.

    Arrow hands a bad row over as a str, and cannot if its text is no UTF-8.
    Every byte is a letter of Latin-1, so it is read as such and turned back;
    columns are known by their places, as names can be no UTF-8 either.
    """
    pyarrow = require("pyarrow", EXTRA)
    table = read_rows(
        path,
        [str(names.index(name)) for name in columns],
        options,
        encoding="latin-1",
        column_names=[str(place) for place in range(len(names))],
        skip_rows_after_names=1,
    )
    arrays = [
        pyarrow.chunked_array(map(latin_bytes, column.chunks), column.type)
        for column in table.columns
    ]
    return pyarrow.table(arrays, columns)


def latin_bytes(chunk):
    """The bytes that were read as letters of Latin-1."""
    pyarrow = require("pyarrow", EXTRA)
    values = (of.decode().encode("latin-1") for of in chunk.to_pylist())
    return pyarrow.array(values, chunk.type)


def is_utf8(path):
    """Whether a whole file is UTF-8."""
    pyarrow = require("pyarrow", EXTRA)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with pyarrow.input_stream(path) as file:
            while data := file.read(2**20):
                decoder.decode(data)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def ends_open(path, table):
    """Whether the last value is quoted, and the quote is never closed.

    Arrow then reads on to the end of the file, so that a quote that somebody
    forgot would swallow all rows behind it.
    """
    last = table.column(table.num_columns - 1)
    if not len(last) or not re.search(rb"[\r\n]", last[-1].as_py()):
        return False
    if path.lower().endswith(COMPRESSED):  # Its end cannot be looked at.
        return False
    with open(path, "rb") as file:
        file.seek(-min(os.path.getsize(path), 64), os.SEEK_END)
        return not file.read().rstrip(b"\r\n\0").endswith(b'"')


def no_csv(path, why):
    return ValueError(
        "Expected a whole CSV file with a row of names, in which each quote "
        "that opens is closed. Write or download it again; "
        "`DataFrame.to_csv(path, index=False)` writes such. Received: "
        f"{os.fspath(path)!r} ({short_name(str(why))})"
    )
