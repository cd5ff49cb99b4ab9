"""How long the host waits for data, as far as a callback can know."""

import time

import keras

from keras_jest.callbacks.watched_steps import WatchedSteps
from keras_jest.callbacks.watched_steps import is_watched
from keras_jest.callbacks.watched_steps import unwatch


class Waiting:
    """Adds up what passes while Keras asks for data.

    On JAX, and in a `SelectingModel` on TensorFlow, a step asks an iterator
    for its batch, which is then timed. On torch Keras has the batch before
    it begins the step, and what lies between two steps is timed. Other models
    on TensorFlow ask within their program, unseen.
    """

    def __init__(self):
        self.seconds = 0.0
        self.model = self._steps = self._see_first = self._since = None

    @property
    def is_known(self):
        return reads_between_steps() or reads_within_steps(self.model)

    def begin(self, model, see_first):
        """Let `see_first` see the first batch, before the first step."""
        if self._steps is not None:  # Of a run that did not come to its end.
            self.end(model)
        self.model, self._see_first = model, see_first
        self._watch(model)

    def begin_epoch(self, model):
        self._watch(model)
        self._since = time.perf_counter()

    def _watch(self, model):
        if self._steps is not None and is_watched(model, self._steps):
            return
        timed = self.add if reads_within_steps(model) else None
        function = model.train_function
        self._steps = WatchedSteps(model, function, self._saw, timed)
        model.train_function = self._steps

    def _saw(self, batch):
        if self._see_first is not None:
            self._see_first(batch)
            self._see_first = None

    def add(self, seconds):
        self.seconds += seconds

    def begin_step(self):
        if self._since is not None and reads_between_steps():
            self.add(time.perf_counter() - self._since)
        self._since = None

    def end_step(self):
        self._since = time.perf_counter()

    def end(self, model):
        unwatch(model, self._steps)
        self._steps = self._since = None


def reads_within_steps(model):
    """Whether a step asks an iterator of the host for its batch."""
    name = keras.backend.backend()
    is_ours = hasattr(model, "selection_metrics")
    return name == "jax" or (name == "tensorflow" and is_ours)


def reads_between_steps():
    """Whether Keras has the batch before it begins a step."""
    return keras.backend.backend() == "torch"
