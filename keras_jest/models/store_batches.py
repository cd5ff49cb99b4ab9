"""The batches of a part of a store, all of one size."""

import itertools
import os

import numpy as np

from keras_jest.data.identity import key_of
from keras_jest.data.require import require
from keras_jest.data.super_batches import Rows
from keras_jest.data.super_batches import super_batches


class PartBatches:
    """Reads the records of a part, ahead of who asks for them.

    Args:
        job: `StoreJob`.
        records: sequence of records.
        rows: int array, their numbers.

    Attributes:
        keys: list of the keys of the records that were read so far.
    """

    def __init__(self, job, records, rows):
        self.rows, self.batch_size = rows, job.batch_size
        self.keys = []
        self._is_raw = job.image_size is None
        dataset = (raw_records if self._is_raw else arrays)(job, records, rows)
        self._iterator = iter(dataset)
        self._iterator.start_prefetch()

    def __len__(self):
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self):
        if not self._is_raw:
            for batch in self._iterator:
                self.keys.extend(batch["key"])
                yield {
                    name: pad_rows(array, self.batch_size)
                    for name, array in batch.items()
                }
            return
        while batch := list(itertools.islice(self._iterator, self.batch_size)):
            self.keys.extend(map(key_of, batch))
            yield batch + batch[-1:] * (self.batch_size - len(batch))

    def close(self):
        self._iterator.close()


def arrays(job, records, rows):
    """The batches that a run is given of these records."""
    return super_batches(
        records,
        job.tokenizer,
        job.image_size,
        job.batch_size,
        shuffle=False,
        num_epochs=1,
        rows=rows,
    )


def raw_records(job, records, rows):
    """Records as they are, read by threads, no more than two batches ahead."""
    grain = require("grain")
    return grain.MapDataset.source(Rows(records, rows)).to_iter_dataset(
        grain.ReadOptions(
            num_threads=os.cpu_count() or 1,
            prefetch_buffer_size=2 * job.batch_size,
        )
    )


def pad_rows(array, size):
    """Repeat the last row, so that no other size is ever compiled."""
    missing = size - len(array)
    if not missing:
        return array
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
