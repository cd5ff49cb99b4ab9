"""What every process that builds a store has to know."""

import math
import os
from typing import NamedTuple

import numpy as np

from keras_jest.data.store_parts import part_name


class StoreJob(NamedTuple):
    """A store that is to be built, as it is sent to other processes.

    Attributes:
        path: str, the folder.
        reference: as in `build_store`.
        reference_name: str or `None`.
        records: a sequence of records, or a function that makes it.
        tokenizer: callable, or `None`, for a reference that reads records.
        image_size: int, or `None`.
        batch_size: int, the rows of every batch, padded where they end.
        metadata: dict, that of the store as far as it is known without the
            reference.
        token: str, of this build, to be found in the folder's lock.
    """

    path: str
    reference: object
    reference_name: object
    records: object
    tokenizer: object
    image_size: object
    batch_size: int
    metadata: dict
    token: str

    def part_path(self, number):
        return os.path.join(self.path, part_name(number))

    def rows(self, number):
        """The numbers of the records of a part."""
        size = self.metadata["part_size"]
        end = min((number + 1) * size, self.metadata["num_records"])
        return np.arange(number * size, end)

    @property
    def num_parts(self):
        return -(-self.metadata["num_records"] // self.metadata["part_size"])


def described(metadata, found, description):
    """The metadata of a store, with what the reference said of itself.

    Where parts are there already, scale and bias are theirs to the last
    digit, since machines may differ in it.

    Args:
        metadata: dict, as far as it was known without the reference.
        found: dict of the metadata of parts that are there.
        description: dict, that of `PartMaker`.
    """
    digest = {"reference": description["reference"]}
    whole = {
        **metadata,
        **description,
        "fingerprint": {**metadata["fingerprint"], **digest},
    }
    del whole["reference"]
    for part in found.values():
        for name in ("logit_scale", "logit_bias"):
            if is_same(part[name], whole[name]):
                whole[name] = part[name]
        break
    return whole


def is_same(one, other):
    """Whether two entries are; numbers up to what machines differ in."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6)
    return one == other


def make_records(records):
    """Records, or those that a function without arguments makes."""
    return records() if callable(records) else records
