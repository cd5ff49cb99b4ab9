"""Training steps whose first batch is seen, and whose iterator is timed."""

import time

from keras_jest.models import backend


class WatchedSteps:
    """Stands before a function of Keras that makes training steps.

    Args:
        model: the Keras model that is trained.
        function: its `train_function`.
        see_first: function of the first batch, before the first step.
        timed: function of the seconds that an iterator took to yield a
            batch, or `None` where the function's iterator is not to be
            touched.
    """

    def __init__(self, model, function, see_first, timed=None):
        self.model, self.function = model, function
        self.see_first, self.timed = see_first, timed

    def __call__(self, *arguments):
        if self.see_first is not None:
            arguments = self._first(arguments)
        if self.timed is not None:
            *state, iterator = arguments
            arguments = (*state, timed_iterator(iterator, self.timed))
        return self.function(*arguments)

    def _first(self, arguments):
        start = time.perf_counter()
        batch, arguments = backend.first_batch(self.model, arguments)
        if self.timed is not None:
            self.timed(time.perf_counter() - start)
        try:
            self.see_first(batch)
        except BaseException:
            backend.hand_back(self.model, arguments)
            raise
        self.see_first = None
        return arguments


def timed_iterator(iterator, timed):
    """Yield what an iterator does, and tell how long each took."""
    while True:
        start = time.perf_counter()
        try:
            batch = next(iterator)
        except StopIteration:
            return
        finally:
            timed(time.perf_counter() - start)
        yield batch


def is_watched(model, steps):
    """Whether a model's steps are watched, by these or from within others."""
    return holder_of(model, steps) is not None


def unwatch(model, steps):
    """Give a model its own function back."""
    holder = holder_of(model, steps)
    if holder is not None:
        setattr(*holder, steps.function)


def holder_of(model, steps):
    """What holds these steps, and its attribute, or `None`."""
    holder, name = model, "train_function"
    while True:
        function = getattr(holder, name, None)
        if function is None:
            return None
        if function is steps:
            return holder, name
        holder, name = function, "function"
