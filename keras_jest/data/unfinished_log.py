"""The file that holds the log of a run until the run has ended."""

import contextlib
import io
import json
import os
import warnings
from typing import NamedTuple

import numpy as np

from keras_jest.data.open_log import SETTINGS
from keras_jest.data.open_log import DamagedLog
from keras_jest.data.open_log import checksums
from keras_jest.data.open_log import open_log
from keras_jest.data.require import require
from keras_jest.data.whole_file import whole_file

ROWS_PER_GROUP = 100_000


class UnfinishedLog:
    """Steps of a run, on disk and readable as soon as they are appended.

    If the file is there and holds the steps of this run up to now, the run
    goes on in it; what it holds of later ones, which a kill undid, is dropped.
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
        self._complete = path
        self._settings = settings
        self._held = held_steps(self.path)
        self._file = None
        self._size = 0
        refuse_if_taken(self.path)
        num_kept = steps_before(self._held, settings)
        self.goes_on = num_kept > 0
        self.next_step = first_step
        if self.goes_on:
            self.next_step = self._held.first_step + num_kept

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
        with (
            open_log(self.path) as (schema, tables),
            whole_file(self._complete) as file,
            parquet.ParquetWriter(
                file, schema, write_page_checksum=True
            ) as writer,
        ):
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
                f"What is left of it is there; {self._complete} is as before."
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
            for table in tables:
                num_rows = np.searchsorted(table["step"], self.next_step)
                if not num_rows:
                    break
                for batch in table.slice(0, num_rows).to_batches():
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


class HeldSteps(NamedTuple):
    settings: dict
    columns: list
    first_step: int
    num_steps: int


def held_steps(path):
    """What an unfinished log holds, or `None` if it holds nothing."""
    first = last = None
    try:
        with open_log(path, ["step"]) as (schema, tables):
            settings = json.loads(schema.metadata[SETTINGS])
            with contextlib.suppress(DamagedLog):
                for table in tables:
                    first = table["step"][0].as_py() if first is None else first
                    last = table["step"][-1].as_py()
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if first is None:
        return None
    return HeldSteps(settings, schema.names, first, last - first + 1)


def steps_before(held, settings):
    """How many steps of a log the model has behind it, 0 if not all."""
    if held is None or differing(held.settings, settings):
        return 0
    num_steps = settings["first_draw"] - held.settings["first_draw"]
    return num_steps if num_steps <= held.num_steps else 0


def differing(one, other):
    names = sorted((one.keys() | other.keys()) - {"first_draw"})
    return [name for name in names if one.get(name) != other.get(name)]


def why_another(held, settings, columns):
    if held is None:
        return "No step could be read from it."
    names = differing(held.settings, settings)
    if names:
        return f"The two runs differ in: {', '.join(names)}."
    if columns != held.columns:
        return f"It has other columns: {held.columns}, not {columns}."
    return (
        f"It holds {held.num_steps} steps, drawn from draw "
        f"{held.settings['first_draw']} on, and this run goes on at draw "
        f"{settings['first_draw']}. To go on in a log, its last step must be "
        "on disk when the model is saved: see `steps_at_a_time`."
    )


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
    waiting, num_rows = [], 0
    for table in tables:
        waiting.append(table)
        num_rows += len(table)
        if num_rows >= ROWS_PER_GROUP:
            yield pyarrow.concat_tables(waiting)
            waiting, num_rows = [], 0
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
