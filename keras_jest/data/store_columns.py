"""The columns of a store, as NumPy and as Arrow have them."""

import zlib

import numpy as np

from keras_jest.data.require import require

EMBEDDINGS = ("image_embedding", "text_embedding")
LOSSES = ("loss",)


def columns_of(metadata):
    """The names of the columns beside the key."""
    return LOSSES if metadata["width"] is None else EMBEDDINGS


def check_columns(keys, columns, metadata):
    """Raise unless the columns are those that the metadata tell of."""
    shape = (len(keys),)
    if metadata["width"] is not None:
        shape = (len(keys), metadata["width"])
    received = {
        name: (np.shape(column), str(getattr(column, "dtype", None)))
        for name, column in columns.items()
    }
    expected = {name: (shape, metadata["dtype"]) for name in received}
    if received != expected or {*columns} != {*columns_of(metadata)}:
        raise ValueError(
            f"Expected columns {columns_of(metadata)} of shape {shape} and "
            f"{metadata['dtype']}, as in the metadata. Received: {received}"
        )
    if np.shape(keys) != (len(keys), 4) or not len(keys):
        raise ValueError(
            "Expected keys of shape (n, 4), one or more. Received: shape "
            f"{np.shape(keys)}"
        )


def as_arrow(column):
    """A column as Arrow has it, without a copy but of text."""
    pyarrow = require("pyarrow", "keras-jest[parquet]")
    if column.dtype.kind == "S":
        ends = np.arange(len(column) + 1, dtype="int32") * 32
        buffers = [None, pyarrow.py_buffer(ends), pyarrow.py_buffer(column)]
        return pyarrow.Array.from_buffers(
            pyarrow.string(), len(column), buffers
        )
    values = pyarrow.array(column.reshape(-1))
    if column.ndim == 1:
        return values
    return pyarrow.FixedSizeListArray.from_arrays(values, column.shape[1])


def as_numpy(column, metadata):
    """A column where it lies: an array that can only be read."""
    pyarrow = require("pyarrow", "keras-jest[parquet]")
    dtype, width = metadata["dtype"], metadata["width"]
    if column.null_count or column.offset:
        raise ValueError("a column has gaps")
    if column.type == pyarrow.string():
        text = np.frombuffer(column.buffers()[2], "S32")
        if len(text) != len(column):
            raise ValueError("keys are not of 32 characters")
        return text
    value_type = pyarrow.from_numpy_dtype(dtype)
    if width is None:
        expected, values = value_type, column
    else:
        expected, values = pyarrow.list_(value_type, width), column.values
    if column.type != expected or len(values) != len(column) * (width or 1):
        raise ValueError(f"a column is {column.type}, not {expected}")
    array = values.to_numpy(zero_copy_only=True)
    return array if width is None else array.reshape(-1, width)


def checksum(array):
    """The CRC-32 of an array's values."""
    return zlib.crc32(array.reshape(-1).view("uint8"))
