"""The file that holds the log of a run until the run has ended."""

import contextlib
import io
import itertools
import json
import os
import warnings

from keras_jest.data.held_steps import held_steps
from keras_jest.data.held_steps import steps_before
from keras_jest.data.held_steps import tables_before
from keras_jest.data.held_steps import why_another
from keras_jest.data.open_log import SETTINGS
from keras_jest.data.open_log import DamagedLog
from keras_jest.data.open_log import checksums
from keras_jest.data.open_log import open_log
from keras_jest.data.require import require
from keras_jest.data.whole_file import whole_file

ROWS_PER_GROUP = 100_000
BYTES_PER_GROUP = 2**26


class UnfinishedLog:
    """Steps of a run, on disk and readable as soon as they are appended.

    If the file is there and holds the steps of this run up to now, the run
    goes on in it; what it holds of later ones, which a kill undid, is dropped.
    If the complete log holds them, it goes on after those; what one of the two
    was not asked to keep is null in its steps.
    The log of another run is moved aside. Nothing on disk changes before
    there is a step to append.

    Args:
        path: str, where the complete log will be. This one is in
            `path.unfinished`.
        settings: dict, those of the run, with `first_draw`, how often its
            model has drawn so far.
        first_step: int. The number of its next step, in a new log.

    Raises:
        ValueError: if another process is writing to the file.
    """

    def __init__(self, path, settings, first_step):
        self.path = f"{path}.unfinished"
        self.complete_path = path
        self._settings = settings
        self._held = held_steps(self.path)
        self._file = None
        self._size = 0
        refuse_if_taken(self.path)
        num_kept = steps_before(self._held, settings)
        self.goes_on = num_kept > 0
        ended = held_steps(path)
        num_ended = steps_before(ended, settings)
        self.follows = not self.goes_on and num_ended > 0
        self.next_step = first_step
        if self.goes_on:
            self.next_step = self._held.first_step + num_kept
        elif self.follows:
            self.next_step = ended.first_step + num_ended

    def append(self, columns):
        """Write steps; what a failed attempt left of them is overwritten."""
        pyarrow = require("pyarrow")
        if self._file is None:
            self._open(list(columns))
        settings = self._held.settings if self.goes_on else self._settings
        metadata = {SETTINGS: json.dumps(settings)}
        batch = pyarrow.RecordBatch.from_pydict(columns, metadata=metadata)
        data = memoryview(as_message(batch, with_schema=not self._size))
        self._file.truncate(self._size)
        while data:
            data = data[self._file.write(data) :]
        self._size = os.fstat(self._file.fileno()).st_size

    def sync(self):
        """Leave nothing to the memory of the operating system."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def complete(self):
        """Put the complete log in place of an older one, if there is one."""
        parquet = require("pyarrow.parquet")
        if self._file is None:
            if not self.goes_on:
                return
            self._open(self._held.columns)
        with contextlib.ExitStack() as stack:
            schema, tables = stack.enter_context(all_tables(self))
            file = stack.enter_context(whole_file(self.complete_path))
            writer = parquet.ParquetWriter(
                file, schema, write_page_checksum=True
            )
            stack.enter_context(writer)
            for table in in_groups(tables):
                writer.write_table(table, row_group_size=len(table))
            self._check_size()
        self.close()
        os.unlink(self.path)

    def _check_size(self):
        size = os.path.getsize(self.path)
        if size != self._size:
            raise ValueError(
                f"Expected {self.path} to be as it was written, to complete "
                f"the log. Received: {size} bytes instead of {self._size}. "
                f"What is left of it is there; {self.complete_path} is as "
                "before."
            )

    def close(self):
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, columns):
        refuse_if_taken(self.path)
        if self.goes_on and columns == self._held.columns:
            self._drop_later_steps()
        else:
            self.goes_on = False
            self._move_aside(columns)
        # Unbuffered: what is written can be read.
        file = open(self.path, "ab", buffering=0)
        lock(file)
        self._file, self._size = file, os.fstat(file.fileno()).st_size

    def _drop_later_steps(self):
        """Keep what went before the next step, and no half-written end."""
        with (
            whole_file(self.path) as file,
            open_log(self.path) as (_, tables),
            contextlib.suppress(DamagedLog),
        ):
            for table in tables_before(tables, self.next_step):
                for batch in table.to_batches():
                    file.write(as_message(batch, not file.tell()))

    def _move_aside(self, columns):
        if not os.path.exists(self.path) or not os.path.getsize(self.path):
            return
        number = 1
        while os.path.exists(f"{self.path}.{number}"):
            number += 1
        aside = f"{self.path}.{number}"
        os.rename(self.path, aside)
        warnings.warn(
            f"Another run had left its log in {self.path}: it is in {aside} "
            f"now. {why_another(self._held, self._settings, columns)}",
            stacklevel=2,
        )


@contextlib.contextmanager
def all_tables(log):
    """Schema and tables of an unfinished log, after those it follows."""
    own, ended = held_steps(log.path), held_steps(log.complete_path)
    with open_log(log.path) as (schema, tables):
        if not steps_before(ended, own.settings):
            yield schema, tables
            return
        with open_log(log.complete_path) as (older, earlier):
            earlier = tables_before(earlier, own.first_step)
            pyarrow = require("pyarrow")
            schema = pyarrow.unify_schemas([older, schema])
            tables = itertools.chain(earlier, tables)
            yield schema, (with_columns(of, schema) for of in tables)


def with_columns(table, schema):
    """A table with all columns of a schema, null where it had none."""
    pyarrow = require("pyarrow")
    tables = [schema.empty_table(), table]
    return pyarrow.concat_tables(tables, promote_options="default")


def as_message(batch, with_schema):
    """The bytes of a batch in an Arrow stream, after those of its schema."""
    ipc = require("pyarrow.ipc")
    buffer = io.BytesIO()
    options = ipc.IpcWriteOptions(compression="zstd")
    stream = ipc.new_stream(buffer, batch.schema, options=options)
    stream.write_batch(batch, custom_metadata=checksums(batch))
    start = 0 if with_schema else len(batch.schema.serialize())
    return buffer.getvalue()[start:]


def in_groups(tables):
    """Join small tables: parquet packs and reads large ones better."""
    pyarrow = require("pyarrow")
    waiting, num_rows, num_bytes = [], 0, 0
    for table in tables:
        waiting.append(table)
        num_rows += len(table)
        num_bytes += table.nbytes
        if num_rows >= ROWS_PER_GROUP or num_bytes >= BYTES_PER_GROUP:
            yield pyarrow.concat_tables(waiting)
            waiting, num_rows, num_bytes = [], 0, 0
    if waiting:
        yield pyarrow.concat_tables(waiting)


def refuse_if_taken(path):
    with contextlib.suppress(FileNotFoundError), open(path, "r+b") as file:
        lock(file)


def lock(file):
    """Keep other processes away for as long as the file is open here."""
    try:
        import fcntl
    except ImportError:  # Windows refuses to move a file that is open.
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise ValueError(
            "Another process is writing to this log. Give each run a path "
            f"of its own, or wait. Received: {file.name}"
        ) from error
    except OSError:
        pass  # Some network file systems know no locks.
