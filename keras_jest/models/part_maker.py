"""Makes the parts of a store, in the process that it is in."""

import contextlib
import errno
import os
import shutil

import numpy as np

from keras_jest.data.fingerprint import records_digest
from keras_jest.data.store_parts import read_part
from keras_jest.data.store_parts import write_part
from keras_jest.models.reference_outputs import check_outputs
from keras_jest.models.reference_outputs import columns_and_scalars
from keras_jest.models.store_batches import PartBatches
from keras_jest.models.store_job import make_records
from keras_jest.models.store_lock import check_token
from keras_jest.models.store_plan import bytes_of_row
from keras_jest.models.store_plan import no_room
from keras_jest.models.store_reference import open_reference


class PartMaker:
    """Runs a reference over parts of the records, and writes what it says.

    Args:
        job: `StoreJob`.

    Attributes:
        description: dict: `width`, `dtype`, `logit_scale` and `logit_bias`
            of what the reference returns, its digest as `reference`.
    """

    def __init__(self, job):
        self.job = job
        self.records = make_records(job.records)
        check_records(self.records, job.metadata)
        self.reference = open_reference(
            job.reference, job.reference_name, job.image_size is None
        )
        self.description = self.describe()

    def describe(self):
        """Run a first batch, so that what is wrong is found before all."""
        num_rows = min(self.job.batch_size, len(self.job.rows(0)))
        columns, scalars = self.run(self.part_batches(np.arange(num_rows)))
        self._first = columns
        shape = next(iter(columns.values())).shape
        is_losses = "loss" in columns
        return {
            "width": None if is_losses else shape[1],
            "dtype": "float32" if is_losses else self.job.metadata["dtype"],
            "reference": self.reference.digest(),
            **scalars,
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """There is nothing to end: all is in this process."""

    def part_batches(self, rows):
        return PartBatches(self.job, self.records, rows)

    def make_parts(self, numbers, metadata):
        """Make some parts; the records of the next are read meanwhile.

        Args:
            numbers: iterable of int.
            metadata: dict, that of the store.

        Yields:
            int. The number of a part that is on the disk.
        """
        check_reference(self.description, metadata)
        check_first(self.job.part_path(0), self._first)
        ahead = None
        try:
            for number in numbers:
                batches = self.part_batches(self.job.rows(number))
                current, ahead = ahead, (number, batches)
                if current is not None:
                    yield self.make_part(*current, metadata)
            if ahead is not None:
                yield self.make_part(*ahead, metadata)
        finally:
            if ahead is not None:
                ahead[1].close()

    def make_part(self, number, batches, metadata):
        """Make a part, and return its number."""
        columns, scalars = self.run(batches)
        check_outputs(columns, scalars, metadata)
        columns = {
            name: column.astype(metadata["dtype"])
            for name, column in columns.items()
        }
        keys = np.stack(batches.keys)
        check_token(self.job.path, self.job.token)
        write(self.job.part_path(number), keys, columns, metadata)
        return number

    def run(self, batches):
        """Return the columns of a part, and scale and bias."""
        with contextlib.closing(batches):
            outputs = self.reference.run(batches)
        return columns_and_scalars(outputs, batches.rows, self.records)


def write(path, keys, columns, metadata):
    """Write a part; a full disk is told with what was wanted."""
    try:
        write_part(path, keys, columns, metadata)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        left = shutil.disk_usage(os.path.dirname(path)).free
        wanted = len(keys) * bytes_of_row(metadata)
        raise no_room(path, wanted, left) from error


def check_reference(description, metadata):
    """Raise unless this process has the reference that others have."""
    found, expected = description["reference"], metadata["fingerprint"]
    if found != expected["reference"]:
        raise ValueError(
            "Expected every process to have the same reference. Load its "
            "weights where it is made: those of a new model are random. "
            f"Received: one of digest {found} in process {os.getpid()}, not "
            f"{expected['reference']}"
        )


def check_first(path, columns):
    """Raise unless the first part, if it is there, was made by the reference.

    Of a function nothing else may be known than what it returns. Rounding
    moves a row of length one by some 0.01 at most.

    Args:
        path: str, where that part is.
        columns: dict of arrays, of its first records.
    """
    if not os.path.exists(path):
        return
    part = read_part(path).columns
    for name, column in columns.items():
        column = column.astype("float32").reshape(len(column), -1)
        stored = part[name][: len(column)].astype("float32")
        apart = np.linalg.norm(stored.reshape(column.shape) - column, axis=1)
        if np.any(apart > 0.1 * (1 + np.linalg.norm(column, axis=1))):
            raise ValueError(
                "Expected the reference that made the parts that are there: "
                f"what it says of the first records differs in {name!r}, by "
                f"up to {apart.max():.3g}. Name another folder, delete this "
                f"one, or pass the same reference. Received: {path!r}"
            )


def check_records(records, metadata):
    """Raise unless a process sees the records that the build began with."""
    found = records_digest(records)
    if found != metadata["fingerprint"]["records"]:
        raise ValueError(
            "Expected every process to see the same records in one order. "
            f"Process {os.getpid()} sees others: make `records` so that it "
            "does not depend on the process. Received: "
            f"{len(records)} records of digest {found}, not "
            f"{metadata['num_records']} of digest "
            f"{metadata['fingerprint']['records']}"
        )
