"""The super-batches of a run, seen by the host on their way to a step."""

import keras

from keras_jest.data.position import without_position
from keras_jest.models import backend


class WatchedSuperBatches:
    """Stands before the function of a `SelectingModel` that makes steps.

    The step's program stays what it is: a batch is seen where it is handed to
    the step.

    Args:
        model: the `SelectingModel` that is trained.
        watcher: what sees the super-batches. It has the methods
            `is_watching()` and `see(inputs, copied_values)`, called before
            each step with the inputs of its super-batch and a function that
            copies the values of the model's variables.
    """

    def __init__(self, model, watcher):
        self.model, self.watcher = model, watcher
        self.function = model.train_function

    def __call__(self, *arguments):
        if self.watcher.is_watching():
            arguments = self._seen(arguments)
        return self.function(*arguments)

    def _seen(self, arguments):
        batch, arguments = backend.next_batch(self.model, arguments)
        x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        try:
            self.watcher.see(
                without_position(x)[0],
                lambda: backend.copied_values(self.model, arguments),
            )
        except BaseException:
            backend.hand_back(self.model, arguments)
            raise
        return arguments


def watch_super_batches(model, watcher):
    """Let a watcher see what a model is trained on, if it does not yet.

    Where a run goes on in the middle of an epoch, other functions make the
    steps for a while: this is called at the beginning of each epoch.
    """
    function = model.train_function
    while function is not None:
        if getattr(function, "watcher", None) is watcher:
            return
        function = getattr(function, "function", None)
    model.train_function = WatchedSuperBatches(model, watcher)
