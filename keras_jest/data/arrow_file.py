"""Arrays in an Arrow file, to be mapped instead of read."""

import json
import os
import zlib
from typing import NamedTuple

import numpy as np

from keras_jest.data.require import require
from keras_jest.data.whole_file import whole_file

EXTRA = "keras-jest[parquet]"
OF_METADATA = "metadata"  # No column's name.
ERRORS = (ValueError, TypeError, KeyError, OSError, MemoryError)


class ArrowFile(NamedTuple):
    """What an Arrow file holds.

    Attributes:
        columns: dict of arrays of `n` rows that lie in the file.
        checksums: dict of int, by column: the CRC-32 that was written.
        metadata: dict, from JSON.
    """

    columns: dict
    checksums: dict
    metadata: dict


def write_arrow_file(path, columns, name, metadata):
    """Write arrays as one uncompressed record batch, whole or not at all.

    Args:
        path: str or path of the file.
        columns: dict of arrays of `n` rows: numbers, a number or a list of
            them each, or texts of equal length (`S`).
        name: str. The entry of the schema's metadata that holds `metadata`.
        metadata: dict for JSON.
    """
    pyarrow = require("pyarrow", EXTRA)
    ipc = require("pyarrow.ipc", EXTRA)
    columns = {of: np.ascontiguousarray(columns[of]) for of in columns}
    text = json.dumps(metadata, allow_nan=False).encode()
    batch = pyarrow.RecordBatch.from_pydict(
        {of: as_arrow(column) for of, column in columns.items()},
        metadata={name: text},
    )
    sums = {of: str(checksum(column)) for of, column in columns.items()}
    sums[OF_METADATA] = str(zlib.crc32(text))
    with (
        whole_file(path) as file,
        ipc.new_file(file, batch.schema) as writer,
    ):
        writer.write_batch(batch, custom_metadata=sums)


def map_arrow_file(path, name):
    """Map what `write_arrow_file` wrote; nothing but the file's end is read.

    Args:
        path: str or path of the file.
        name: str, as it was written.

    Returns:
        An `ArrowFile`. Its arrays can only be read.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is another, or is damaged.
    """
    pyarrow = require("pyarrow", EXTRA)
    ipc = require("pyarrow.ipc", EXTRA)
    try:
        # The arrays keep the mapping, but no file open.
        with pyarrow.memory_map(os.fspath(path)) as file:
            reader = ipc.open_file(file)
            text = reader.schema.metadata[name.encode()]
            batch, sums = reader.get_batch_with_custom_metadata(0)
        if int(sums[OF_METADATA]) != zlib.crc32(text):
            raise ValueError("its metadata have changed")
        batch.validate()
        columns = {of: as_numpy(batch[of]) for of in batch.schema.names}
        sums = {of: int(sums[of]) for of in columns}
        return ArrowFile(columns, sums, json.loads(text))
    except FileNotFoundError:
        raise
    except ERRORS as error:
        raise ValueError(f"no whole Arrow file of ours: {error}") from error


def check_columns(file, names=None):
    """Read values and compare them with what was written.

    Args:
        file: `ArrowFile`.
        names: list of str, some of its columns; `None` is all.

    Raises:
        ValueError: They are others.
    """
    for name in file.columns if names is None else names:
        if checksum(file.columns[name]) != file.checksums[name]:
            raise ValueError(f"the column {name!r} has changed")


def as_arrow(column):
    """A column as Arrow has it, without a copy."""
    pyarrow = require("pyarrow", EXTRA)
    if column.dtype.kind == "S":
        ends = np.arange(len(column) + 1, dtype="int32") * column.itemsize
        buffers = [None, pyarrow.py_buffer(ends), pyarrow.py_buffer(column)]
        return pyarrow.Array.from_buffers(
            pyarrow.string(), len(column), buffers
        )
    values = pyarrow.array(column.reshape(-1))
    if column.ndim == 1:
        return values
    return pyarrow.FixedSizeListArray.from_arrays(values, column.shape[1])


def as_numpy(column):
    """A column where it lies."""
    pyarrow = require("pyarrow", EXTRA)
    if column.null_count or column.offset:
        raise ValueError("a column has gaps")
    if column.type == pyarrow.string():
        text = column.buffers()[2]
        return np.frombuffer(text, f"S{text.size // len(column)}")
    if not pyarrow.types.is_fixed_size_list(column.type):
        return column.to_numpy(zero_copy_only=True)
    values = column.values
    if values.null_count or values.offset:
        raise ValueError("a column has gaps")
    array = values.to_numpy(zero_copy_only=True)
    return array.reshape(len(column), column.type.list_size)


def checksum(array):
    """The CRC-32 of an array's values."""
    return zlib.crc32(array.reshape(-1).view("uint8"))
