"""A policy with a memory, as a user writes one."""

import keras


@keras.saving.register_keras_serializable("test")
class InTurns(keras.layers.Layer):
    """Keeps the first rows, then the next ones, and so on."""

    needs = ()

    def __init__(self, size=5, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.turn = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False
        )

    def num_kept(self, num_rows):
        return min(num_rows, self.size)

    def select(self, learner, reference, seed):
        num_rows = learner.values.shape[0]
        rows = keras.ops.arange(self.num_kept(num_rows), dtype="int32")
        rows = rows + self.turn * self.size
        self.turn.assign_add(1)
        return keras.ops.mod(rows, num_rows)

    def get_config(self):
        return {**super().get_config(), "size": self.size}
