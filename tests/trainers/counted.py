"""Layers that tell how often they ran, and on how many rows."""

import keras


class Counted(keras.layers.Layer):
    """Counts how often it really ran, in compiled programs, too."""

    def __init__(self):
        super().__init__()
        self.reset()

    def call(self, inputs):
        backend = keras.backend.backend()
        if backend == "jax":
            import jax

            jax.debug.callback(self._add)
        elif backend == "tensorflow":
            import tensorflow as tf

            tf.py_function(self._add, [], [])
        elif inputs.device.type != "meta":
            self._add()
        return inputs

    def _add(self):
        self._runs[0] += 1

    def reset(self):
        self.count()
        # A dict: Keras makes trackers of lists.
        self._runs = {0: 0}

    def count(self):
        if keras.backend.backend() == "jax":
            import jax

            jax.effects_barrier()
        return getattr(self, "_runs", {0: 0})[0]


class RowsSeen(keras.layers.Layer):
    """Notes the batch sizes it is traced or run with."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def call(self, inputs):
        self.seen.add(inputs.shape[0] or 0)
        return inputs
