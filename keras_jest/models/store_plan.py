"""Which parts of a store are there, which are not, and what they take."""

import errno
import math
import os
import re
import shutil

import numpy as np

from keras_jest.data.store_parts import OtherFormat
from keras_jest.data.store_parts import read_part
from keras_jest.models.store_job import is_same

KEY_BYTES = 36  # 32 characters, and where they end.
PART = re.compile(r"part-(\d+)\.arrow")
UNFINISHED = re.compile(r"part-\d+\.arrow\.\d+\.part")


class StorePlan:
    """What there is to do.

    Args:
        job: `StoreJob`.
        there: set of int, the parts that are there.
        metadata: dict, that of the store.

    Attributes:
        missing: list of int, the parts that are to be made.
    """

    def __init__(self, job, there, metadata):
        self.job, self.metadata = job, metadata
        self.missing = [n for n in range(job.num_parts) if n not in there]

    def __str__(self):
        """The size, as it is told before it begins."""
        num_pairs, num_parts = self.metadata["num_records"], self.job.num_parts
        num_there = num_parts - len(self.missing)
        there = f", {num_there:,} of them there" if num_there else ""
        return (
            f"{num_pairs:,} {self.unit}, "
            f"{in_words(num_pairs * bytes_of_row(self.metadata))}, "
            f"{num_parts:,} parts{there}"
        )

    @property
    def unit(self):
        return "losses" if self.metadata["width"] is None else "pairs"

    @property
    def missing_bytes(self):
        num_rows = sum(len(self.job.rows(number)) for number in self.missing)
        return num_rows * bytes_of_row(self.metadata)

    def check_room(self):
        """Raise unless the disk has room for what is missing."""
        left = shutil.disk_usage(self.job.path).free
        if self.missing_bytes > left:
            raise no_room(self.job.path, self.missing_bytes, left)


def bytes_of_row(metadata):
    values = 1 if metadata["width"] is None else 2 * metadata["width"]
    return KEY_BYTES + values * np.dtype(metadata["dtype"]).itemsize


def in_words(num_bytes):
    """Bytes in decimal units, such as `"2.05 GB"`."""
    units = ("B", "kB", "MB", "GB", "TB", "PB")
    power = min(int(math.log(max(num_bytes, 1), 1000)), len(units) - 1)
    return f"{num_bytes / 1000**power:.3g} {units[power]}"


def no_room(path, wanted, left):
    return OSError(
        errno.ENOSPC,
        f"Expected room for {in_words(wanted)}. What was made is kept: free "
        "some, begin again, and the build goes on. Received: "
        f"{in_words(left)} left",
        str(path),
    )


def find_parts(path):
    """Read which parts are there; what is no whole part is none.

    Returns:
        A dict of the metadata of each, by number.
    """
    found = {}
    for name in sorted(os.listdir(path)):
        place = os.path.join(path, name)
        if UNFINISHED.fullmatch(name):  # Of a process that was killed.
            os.unlink(place)
        elif match := PART.fullmatch(name):
            try:
                found[int(match[1])] = read_part(place).metadata
            except ValueError as error:  # It is made again, and replaced.
                check_damaged(place, error)
    return found


def check_damaged(place, error):
    """Raise unless a file is a part of ours that has lost something.

    What another program or version wrote, or what may not be read, is not
    ours to replace.
    """
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    is_other = isinstance(cause, (KeyError, TypeError, OtherFormat))
    if is_other or getattr(cause, "errno", None):
        raise ValueError(
            "Expected a folder without a store, or with parts of the one that "
            "is to be built. Name another folder, or delete the file if "
            f"nobody needs it. Received: {place!r} ({cause})"
        ) from error


def check_same(path, found, metadata):
    """Raise unless the parts that are there are of the same store."""
    for part in found.values():
        names = differing(part, metadata)
        if names:
            raise ValueError(
                "Expected a folder without a store, or with parts of the one "
                "that is to be built. Name another folder, or delete this "
                f"one. Received: path={path!r}, which has {' and '.join(names)}"
            )


def differing(part, metadata):
    """What of the metadata a part has otherwise, in words."""
    part = {**part, **part["fingerprint"]}
    metadata = {**metadata, **metadata["fingerprint"]}
    if part["width"] is None and "width" not in metadata:
        del metadata["dtype"]  # Of losses the reference decides it.
    return [
        f"{name}={part[name]} instead of {metadata[name]}"
        for name in sorted(metadata)
        if name != "fingerprint" and not is_same(part[name], metadata[name])
    ]
