"""What a log keeps of whole super-batches, beside the rows of the picks."""

import keras
import numpy as np

from keras_jest.callbacks.log_checks import check_has_pairs_to_keep
from keras_jest.callbacks.snapshot import take_snapshot
from keras_jest.callbacks.watched_super_batches import watch_super_batches
from keras_jest.data.step_columns import step_columns


class StepLog:
    """Gathers the seen keys and the snapshots of steps for `SelectionLog`.

    It sees each super-batch on its way to the step, so that the program of
    the step is the same with and without it. Only for a snapshot, the weights
    of both models are copied before the step, and two of their passes over at
    most 256 rows are run, one before and one after it.

    Args:
        log: the `SelectionLog`.
        keep_seen: bool.
        snapshot_every: int or `None`.
    """

    def __init__(self, log, keep_seen, snapshot_every):
        self.log = log
        self.keep_seen, self.snapshot_every = keep_seen, snapshot_every
        self.model = None
        self._waiting = []
        self._clear()

    def begin(self, model):
        # To ask a callback for its model would end the state of JAX's steps.
        self.model = model
        if self.snapshot_every is not None:
            check_has_pairs_to_keep(model)

    def begin_epoch(self):
        watch_super_batches(self.model, self)

    def is_watching(self):
        """Not in a later `fit` that does not write this log."""
        return self.log.is_recording(self.model)

    def see(self, inputs, copied_values):
        """Keep what is needed of a super-batch, before its step is made."""
        self._clear()
        has_key = isinstance(inputs, dict) and "key" in inputs
        if self.keep_seen and not has_key:
            raise ValueError(
                "`keep_seen` keeps the keys of all rows, and the batches have "
                "none. Give them a 'key', as `super_batches` does, or leave "
                "it out."
            )
        if self.keep_seen:
            self._key = inputs["key"]
        every = self.snapshot_every
        if every is not None and self.log.step % every == 0:
            self._inputs, self._values = inputs, copied_values()
            num_rows = keras.tree.flatten(inputs)[0].shape[0]
            self._before = self._snapshot(np.arange(num_rows))

    def record(self, chosen):
        """Take in the step that was made of what was seen.

        Returns:
            int, how many rows wait to be written.
        """
        snapshots = None
        if self._values is not None:
            picks = keras.ops.convert_to_numpy(chosen["picks"])
            snapshots = self._before, self._snapshot(picks)
        self._waiting.append((self.log.step, self._key, snapshots))
        num_seen = self._key.shape[0] if self.keep_seen else 0
        self._clear()
        return num_seen

    def flush(self, log):
        """Append the steps since the last call to an `UnfinishedLog`."""
        if not self._waiting:
            return
        steps, keys, snapshots = zip(*self._waiting, strict=True)
        columns = step_columns(
            steps,
            [keras.ops.convert_to_numpy(of) for of in keys]
            if self.keep_seen
            else None,
            snapshots if self.snapshot_every is not None else None,
        )
        log.append(columns)
        self._waiting = []

    def _snapshot(self, rows):
        return take_snapshot(self.model, self._values, self._inputs, rows)

    def _clear(self):
        self._key = self._inputs = self._values = self._before = None
