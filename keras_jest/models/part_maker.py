"""Makes the parts of a store, in the process that it is in."""

import contextlib
import errno
import os
import shutil

import numpy as np

from keras_jest.data.fingerprint import records_digest
from keras_jest.data.short_name import short_name
from keras_jest.data.store_parts import write_part
from keras_jest.models.store_batches import PartBatches
from keras_jest.models.store_job import is_same
from keras_jest.models.store_job import make_records
from keras_jest.models.store_lock import check_token
from keras_jest.models.store_plan import bytes_of_row
from keras_jest.models.store_plan import no_room
from keras_jest.models.store_reference import EMBEDDINGS
from keras_jest.models.store_reference import SCALARS
from keras_jest.models.store_reference import open_reference

MAX_NAMES = 5


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
        self.reference = open_reference(job.reference, job.reference_name)
        self.description = self.describe()

    def describe(self):
        """Run a first batch, so that what is wrong is found before all."""
        num_rows = min(self.job.batch_size, len(self.job.rows(0)))
        columns, scalars = self.run(self.part_batches(np.arange(num_rows)))
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
        check_scalars(scalars, metadata)
        check_width(columns, metadata)
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
        num_rows = len(batches.rows)
        columns = {
            name: np.asarray(outputs[name], "float32")[:num_rows]
            for name in (*EMBEDDINGS, "loss")
            if name in outputs
        }
        for name, column in columns.items():
            check_finite(name, column, batches.rows, self.records)
        if "loss" in columns:
            return columns, dict.fromkeys(SCALARS)
        if columns[EMBEDDINGS[0]].shape != columns[EMBEDDINGS[1]].shape:
            raise other_shapes(columns)
        return (
            {name: unit_rows(column) for name, column in columns.items()},
            {name: one_value(name, outputs) for name in SCALARS},
        )


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


def unit_rows(rows):
    """Scale rows to length 1, but for those that have it; 0 stays 0."""
    lengths = np.linalg.norm(rows.astype("float64"), axis=1, keepdims=True)
    # 1e-5 is far above what float32 leaves of a length of 1, and far below
    # what float16 can tell: rows of a model are kept to the last bit.
    other = (np.abs(lengths - 1) > 1e-5) & (lengths > 0)
    scaled = rows / np.where(other, lengths, 1.0)
    return np.where(other, scaled, rows).astype("float32")


def one_value(name, outputs):
    """The scale or the bias, one for all records."""
    values = np.asarray(outputs.get(name, 0.0), "float64").reshape(-1)
    if not np.isfinite(values).all() or np.ptp(values) > 1e-5 * abs(values[0]):
        raise ValueError(
            f"Expected a reference of one finite `{name}` for all records. "
            f"Received: {name} from {values.min()} to {values.max()}"
        )
    return float(values[0])


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


def check_scalars(scalars, metadata):
    """Raise unless scale and bias are still what they were.

    They are equal up to the last digits, in which machines may differ.
    """
    for name, value in scalars.items():
        expected = metadata[name]
        if not is_same(value, expected):
            raise ValueError(
                f"Expected a reference of one `{name}` for all records. "
                f"Received: {name}={value} after {expected}"
            )


def check_width(columns, metadata):
    for name, column in columns.items():
        width = None if column.ndim == 1 else column.shape[1]
        if width != metadata["width"]:
            raise ValueError(
                "Expected a reference of one width for all records. Received: "
                f"{name} of width {width} after {metadata['width']}"
            )


def check_finite(name, column, rows, records):
    """Raise, and name the records, if there are values that are none."""
    is_finite = np.isfinite(column.reshape(len(column), -1)).all(axis=1)
    bad = rows[~is_finite]
    if len(bad):
        names = [
            repr(short_name(records[int(row)]["key"]))
            for row in bad[:MAX_NAMES]
        ]
        raise ValueError(
            f"Expected finite values of `{name}` from the reference. A pair "
            "that is not finite would never be chosen, and a store is built "
            f"once: mend the reference or leave these out. Received: "
            f"{len(bad)} of {len(rows)} records that are not, such as "
            f"{', '.join(names)}"
        )


def other_shapes(columns):
    shapes = {name: column.shape for name, column in columns.items()}
    return ValueError(
        "Expected embeddings of pictures and of texts of one shape. "
        f"Received: {shapes}"
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
