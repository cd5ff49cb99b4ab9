"""Selection without a graph, then training, on torch."""

import torch


def train_step(model, keras_step, data):
    # Stopping gradients later would keep the super-batch's activations.
    with torch.no_grad():
        sub_batch, chosen = model.select(data)
    # Keras clears the gradients of one variable of each path only.
    for variable in model.trainable_variables:
        variable.value.grad = None
    return {**keras_step(sub_batch), "chosen": chosen}


def make_train_function(model, keras_make):
    if model.steps_per_execution > 1:
        keras_make(force=True)  # It says what is wrong.

    # Never compiled as a whole: minutes, and again for a partial batch.
    def train_and_report(data):
        return model.report(model.train_step(data[0]))

    return train_and_report
