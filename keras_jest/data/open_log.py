"""Reads the log of a run step by step, as far as it is whole."""

import contextlib
import os
import warnings
import zlib

import numpy as np

from keras_jest.data.require import require

SETTINGS = b"keras_jest"
EXTRA = "keras-jest[parquet]"
ERRORS = (
    ValueError,
    TypeError,
    OSError,
    MemoryError,
    NotImplementedError,
)


class DamagedLog(ValueError):
    """Something in a file is not what was written."""


@contextlib.contextmanager
def open_log(path, columns=None):
    """Open a log, be it complete or unfinished.

    A complete one is parquet, an unfinished one an Arrow stream.

    Args:
        path: str or path of the file.
        columns: list of str, what to read, or `None` for all.

    Returns:
        A context with the schema and an iterator over tables of whole steps.
        It raises `DamagedLog` where the file stops to be readable.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no log, or its head, or the end that parquet
            needs, is lost.
    """
    pyarrow = require("pyarrow", EXTRA)
    if not os.path.exists(path):
        raise FileNotFoundError(missing(path))
    with pyarrow.OSFile(os.fspath(path)) as file:
        is_parquet = file.read(4) == b"PAR1"
        file.seek(0)
        try:
            read = parquet_tables if is_parquet else stream_tables
            schema, tables = read(file, columns)
        except ERRORS as error:
            raise ValueError(
                "Expected a file that `SelectionLog` wrote. Its settings or, "
                "if it is parquet, its end are lost, or it is something else. "
                f"Received: {path} ({error})"
            ) from error
        yield schema, tables


def missing(path):
    message = f"There is no such log. Received: {path}"
    if os.path.exists(f"{path}.unfinished"):
        message += (
            ", whose run has not ended. What it has written can be read by "
            f"the name {path}.unfinished"
        )
    return message


def as_far_as_whole(path, tables):
    """The tables of a log up to where it is damaged, and a warning there."""
    num_steps = 0
    try:
        for table in tables:
            yield table
            num_steps += len(np.unique(table["step"]))
    except DamagedLog as error:
        warnings.warn(
            f"The log {path} is damaged, or was cut while a step was written. "
            f"Its first {num_steps} steps are whole, and no more was read "
            f"({error}).",
            stacklevel=3,
        )


def parquet_tables(file, columns):
    parquet = require("pyarrow.parquet", EXTRA)
    log = parquet.ParquetFile(file, page_checksum_verification=True)

    def tables():
        for group in range(log.num_row_groups):
            try:
                table = log.read_row_group(group, columns)
                table.validate(full=True)
            except ERRORS as error:
                raise DamagedLog(error) from error
            yield table

    return log.schema_arrow, tables()


def stream_tables(file, columns):
    pyarrow = require("pyarrow", EXTRA)
    ipc = require("pyarrow.ipc", EXTRA)
    schema = ipc.open_stream(file).schema
    names = [name for name in columns or schema.names if name in schema.names]
    if "step" not in names:
        raise ValueError("There is no column 'step'")
    file.seek(0)
    fields = [schema.get_field_index(name) for name in names]
    stream = ipc.open_stream(
        file, options=ipc.IpcReadOptions(included_fields=fields)
    )

    def tables():
        next_step = None
        while True:
            try:
                batch, sums = stream.read_next_batch_with_custom_metadata()
                batch.validate(full=True)
                next_step = checked_steps(batch, dict(sums or ()), next_step)
            except StopIteration:
                break
            except ERRORS as error:
                raise DamagedLog(error) from error
            yield pyarrow.Table.from_batches([batch])
        if file.tell() < file.size():
            raise DamagedLog("what follows is no part of a log")

    return schema, tables()


def checked_steps(batch, sums, first):
    """The step after those of a batch, which is the one that was written."""
    written = {name.decode(): sum for name, sum in sums.items()}
    steps = batch["step"].to_numpy()
    if (
        any(sum != written.get(name) for name, sum in checksums(batch).items())
        or not len(steps)
        or first not in (None, steps[0])
    ):
        raise DamagedLog("what follows is not what was written")
    return steps[-1] + 1


def checksums(batch):
    """A checksum of each column's values, however Arrow stores them."""
    return {
        name: str(zlib.crc32(values_of(batch[name]))).encode()
        for name in batch.schema.names
    }


def values_of(column):
    if column.type == "string":
        return "".join(column.to_pylist()).encode()
    if column.type == "binary":
        return b"".join(of or b"" for of in column.to_pylist())
    if hasattr(column, "flatten"):  # Lists, of which some are null.
        return column.flatten().to_numpy()
    return column.to_numpy()
