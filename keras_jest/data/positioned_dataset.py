"""A grain dataset whose batches say where they stand; imported at use."""

import itertools
import json
import threading

import grain
import keras
import numpy as np

from keras_jest.data.position import with_position

MARKS_AT_A_TIME = 1000


class PositionedDataset(grain.IterDataset):
    """Marks each batch, and knows the state of the data after it.

    A `SelectingModel` tells it of every batch that was trained, by a call.

    Args:
        source: `grain.MapDataset`, `IterDataset`, `DataLoader`, or an
            iterator of one of them.
        start: str or `None`. The state, as `trained_state` returns it, with
            which iterations begin. Those that begin after a batch was
            trained are of later epochs, and begin as the source does.
    """

    def __init__(self, source, start=None):
        super().__init__()
        if isinstance(source, grain.MapDataset):
            source = source.to_iter_dataset()
        self.source = source
        self.is_iterator = hasattr(source, "get_state")
        if start is None and self.is_iterator:
            start = state_text(source)
        self._start = start
        self._numbers = itertools.count()
        self._states = {}
        self._lock = threading.Lock()
        self._newest = None
        self._trained = self._trained_before = None
        self._num_trained = 0

    def starting(self, state):
        """The same data from another state on; these come to an end."""
        with self._lock:
            self._newest = None
            return PositionedDataset(self.source, state)

    def __iter__(self):
        with self._lock:
            iterator = iter(self.source)
            if self._start is not None and self._trained is None:
                set_state_text(iterator, self._start)
            self._newest = PositionedIterator(self, iterator)
            return self._newest

    def next_of(self, iteration):
        """The next batch of an iteration, marked."""
        with self._lock:
            # Where one iterator serves all iterations, what an older one
            # reads ahead would be lost to the newest.
            if self.is_iterator and iteration is not self._newest:
                raise StopIteration
            batch = next(iteration.iterator)
            number = next(self._numbers)
            self._states[number] = state_text(iteration.iterator)
            return with_position(batch, number)

    def __call__(self, chosen):
        """Take note of the batch of the latest step, without waiting.

        Args:
            chosen: dict of what a step tells its recorders.
        """
        position = chosen.get("position")
        self._trained = position
        self._num_trained += 1
        if self._num_trained % MARKS_AT_A_TIME == 0:
            # That of long ago is on the host by now.
            self._forget_before(self._trained_before)
            self._trained_before = position

    def _forget_before(self, position):
        if position is None:
            return
        trained = int(keras.ops.convert_to_numpy(position))
        with self._lock:
            states = self._states.items()
            self._states = {n: state for n, state in states if n >= trained}

    def trained_state(self):
        """The state of the data after the batch that was trained last."""
        if self._trained is None:
            return self._start
        self._forget_before(self._trained)
        return self._states[int(keras.ops.convert_to_numpy(self._trained))]

    def rewind(self):
        """Put a user's iterator behind what was trained, not what was read."""
        if self.is_iterator:
            with self._lock:
                self._newest = None
            set_state_text(self.source, self.trained_state())

    def is_exhausted(self):
        return next(iter(self), None) is None

    def fingerprint(self):
        """What makes a state hold for these data: a dict for JSON."""
        own = getattr(self.source, "fingerprint", None)
        if own is not None:
            return own()
        batch = keras.tree.flatten(next(iter(self), ()))
        batch = [np.asarray(leaf) for leaf in batch]
        return {"batch": [f"{of.dtype}{list(of.shape)}" for of in batch]}

    def __str__(self):
        return f"PositionedDataset({self.source})"


class PositionedIterator(grain.DatasetIterator):
    """One iteration over a `PositionedDataset`."""

    def __init__(self, dataset, iterator):
        super().__init__()
        self._dataset = dataset
        self.iterator = iterator

    def __next__(self):
        return self._dataset.next_of(self)

    def get_state(self):
        return {"text": state_text(self.iterator)}

    def set_state(self, state):
        set_state_text(self.iterator, state["text"])


def state_text(iterator):
    """The state of a grain iterator as JSON; a loader's is bytes of it."""
    state = iterator.get_state()
    if isinstance(state, bytes):
        return state.decode()
    return json.dumps(state, default=lambda number: number.tolist())


def set_state_text(iterator, text):
    is_bytes = isinstance(iterator.get_state(), bytes)
    iterator.set_state(text.encode() if is_bytes else json.loads(text))
