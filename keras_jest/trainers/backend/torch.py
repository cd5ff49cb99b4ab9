"""Selection without a graph, then training, on torch."""

import keras
import torch


class SelectingModel(keras.Model):
    """Trains on what `select` keeps."""

    def train_step(self, data):
        # Stopping gradients later would keep the super-batch's activations.
        with torch.no_grad():
            sub_batch, chosen = self.select(data)
        # Keras clears the gradients of one variable of each path only.
        for variable in self.trainable_variables:
            variable.value.grad = None
        return {**super().train_step(sub_batch), "chosen": chosen}

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return
        if self.steps_per_execution > 1:
            super().make_train_function(force)  # It says what is wrong.

        # Never compiled as a whole: minutes, and again for a partial batch.
        def train_and_report(data):
            return self.report(self.train_step(data[0]))

        self.train_function = train_and_report
