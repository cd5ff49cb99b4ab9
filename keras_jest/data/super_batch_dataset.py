"""The grain dataset behind `super_batches`; imported at use, as grain is."""

import os

import grain

PART_SIZE = 32
PARTS_AHEAD = 16


class SuperBatchDataset(grain.IterDataset):
    """Super-batches of a sequence of examples, from any row of it on.

    Args:
        examples: `grain.MapDataset` of dicts of arrays, one a row.
        batch_size: int. Rows in a super-batch.
        drop_remainder: bool. Whether to leave out a smaller last batch.
        num_workers: int. Worker processes; 0 is threads alone.
        fingerprint: function without arguments that returns a dict for
            JSON: what decides which row is which.
        join: function that adds arrays to a dict of them, for some rows at a
            time, or `None`.
    """

    def __init__(
        self,
        examples,
        batch_size,
        drop_remainder,
        num_workers,
        fingerprint,
        join=None,
    ):
        super().__init__()
        self.fingerprint = fingerprint
        self._examples = examples
        self._batch_size = batch_size
        self._drop_remainder = drop_remainder
        self._num_workers = num_workers
        self._join = join

    @property
    def store_digest(self):
        """What the store gives that is joined, or `None`."""
        return getattr(self._join, "digest", None)

    def __iter__(self):
        return SuperBatchIterator(self)

    def __str__(self):
        return f"SuperBatchDataset(batch_size={self._batch_size})"

    def from_row(self, row):
        """Iterate over the super-batches that begin with a row."""
        # Threads and processes hand over parts of a super-batch: a record at
        # a time costs more than to decode it, a whole one would be made by
        # one.
        dataset = self._examples[row:].batch(min(PART_SIZE, self._batch_size))
        if self._join is not None:
            # In the same threads, which wait for the disk together.
            dataset = dataset.map(self._join)
        dataset = dataset.to_iter_dataset(
            grain.ReadOptions(
                num_threads=os.cpu_count() or 1,
                prefetch_buffer_size=PARTS_AHEAD,
            )
        )
        if self._num_workers:
            mark_flags_as_parsed()
            dataset = dataset.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=self._num_workers)
            )
        return iter(
            grain.experimental.RebatchIterDataset(
                dataset, self._batch_size, drop_remainder=self._drop_remainder
            )
        )


class SuperBatchIterator(grain.DatasetIterator):
    """Counts rows, so that its state holds for batches of every size."""

    def __init__(self, dataset):
        super().__init__()
        self._dataset = dataset
        self._row = 0
        self._batches = None

    def __next__(self):
        self._assert_not_closed()
        self.start_prefetch()
        batch = next(self._batches)
        self._row += len(batch["key"])
        return batch

    def get_state(self):
        return {"row": self._row}

    def set_state(self, state):
        if state.keys() != {"row"}:
            raise ValueError(
                "Expected the state of an iterator over `super_batches` of "
                "this version of keras_jest, such as {'row': 640}. Received: "
                f"{state}. Begin anew, or go on with the version that made it."
            )
        self._stop()
        self._row = int(state["row"])

    def start_prefetch(self):
        if self._batches is None:
            self._batches = self._dataset.from_row(self._row)
            self._batches.start_prefetch()

    def fingerprint(self):
        return self._dataset.fingerprint()

    @property
    def store_digest(self):
        return self._dataset.store_digest

    def close(self):
        super().close()
        self._stop()

    def _stop(self):
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def __str__(self):
        return f"SuperBatchIterator(row={self._row})"


def mark_flags_as_parsed():
    """Let grain start processes outside of `absl.app.run`.

    It reads a flag that nobody has parsed there (google/grain, issue 1355).
    """
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
