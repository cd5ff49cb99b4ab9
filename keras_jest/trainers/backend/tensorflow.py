"""Selection and training in one graph for each batch size, on TensorFlow."""

import keras
import tensorflow as tf


class SelectingModel(keras.Model):
    """Trains on what `select` keeps."""

    def train_step(self, data):
        sub_batch, chosen = self.select(data)
        return {**super().train_step(sub_batch), "chosen": chosen}

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return
        strategy = self.distribute_strategy

        def step(data):
            return strategy.run(self.train_step, args=(data,))

        # Batches are fetched on the host: within Keras' own loop their size
        # is unknown, and how many rows to keep with it.
        if not self.run_eagerly:
            options = {"jit_compile": self.jit_compile, "autograph": False}
            step = tf.function(step, **options)
        step = self._autoconvert_optionals(step)

        def train_and_report(iterator):
            logs = None
            steps = range(self.steps_per_execution)
            for _, data in zip(steps, iterator, strict=False):
                logs = step(data)
            if logs is None:
                raise StopIteration
            results = strategy.experimental_local_results
            logs = tf.nest.map_structure(lambda v: results(v)[0], logs)
            return self.report(logs)

        self.train_function = train_and_report
