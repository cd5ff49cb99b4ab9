"""FLOPs of forward and backward passes, with nothing run and nothing copied."""

import contextlib
from typing import Any

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.flops import backend
from keras_jest.flops.model_pass import ModelPass


@keras_jest_export("keras_jest.evaluation.count_flops")
def count_flops(
    model: keras.Model, inputs: Any, training: bool = False
) -> float:
    """Count what a model computes for one row, two FLOPs per multiply-add.

    Matrix products and convolutions are counted, as in papers; norms,
    activations, softmax, lookups and losses are not. Padding counts as
    pixels. The model is traced on abstract arrays: nothing is computed, no
    weight is copied or changed, and metrics, losses, seeds and the statistics
    of batch norms stay what they are. What is computed for the weights alone,
    such as the resizing of a kernel, is spread over the rows of the batch.

    A loop counts as often as it runs, if that is known beforehand (else
    once), the larger branch of a condition counts, and fused attention counts
    as its products. Not counted are other kernels that a backend is merely
    told to call, such as cuDNN's LSTM.

    Args:
        model: Keras model, built.
        inputs: what it is called with: arrays, of which only the shapes and
            types are read, or `keras.KerasTensor`s with a number of rows.
        training: bool. Count a training step: a forward pass in training
            mode, and the gradients of the trainable variables.

    Returns:
        A float, FLOPs for each row of the batch.

    Raises:
        ValueError: if the model is not built.

    Example:

    ```python
    import numpy as np
    from keras_jest.evaluation import count_flops
    from keras_jest.models import SigLIP

    model = SigLIP.from_variant("mu/8", image_size=16, sequence_length=8)
    batch = {
        "images": np.zeros((2, 16, 16, 3), "uint8"),
        "token_ids": np.zeros((2, 8), "int32"),
    }
    print(count_flops(model, batch) / model.forward_flops)  # 1.0
    print(count_flops(model, batch, training=True))  # about three times that
    ```
    """
    if not model.built:
        raise ValueError(
            "Only a model that has its weights can be counted. Call it on a "
            f"batch, or `build` it. Received: {model}"
        )

    def look(rows):
        return model(rows, training=training)

    return flops_of_pass(ModelPass("", model, look, training), inputs)


def flops_of_pass(model_pass, inputs, num_rows=None):
    """FLOPs of a `ModelPass` for each row.

    Args:
        model_pass: `ModelPass`.
        inputs: arrays or `keras.KerasTensor`s, a batch.
        num_rows: int, how many rows the pass looks at; by default as many
            as the batch has.

    Returns:
        A float.
    """
    inputs = keras.tree.map_structure(
        lambda array: with_rows(array, num_rows), inputs
    )
    model = model_pass.model
    variables = [*model.variables, *getattr(model, "metrics_variables", ())]
    trainable = model.trainable_variables if model_pass.is_training else []
    with losses_kept(model):
        total = backend.count(model_pass.look, inputs, variables, trainable)
    return total / keras.tree.flatten(inputs)[0].shape[0]


@contextlib.contextmanager
def losses_kept(model):
    """Let a model have the `losses` of its last call, though it is called."""
    kept = [
        (of, list(of._losses), set(of._loss_ids))
        for of in model._flatten_layers()
    ]
    try:
        yield
    finally:
        for layer, losses, ids in kept:
            layer._losses[:], layer._loss_ids = losses, ids


def with_rows(array, num_rows):
    """The shape and type of an array, with another number of rows."""
    shape = tuple(array.shape)
    shape = (shape[0] if num_rows is None else num_rows, *shape[1:])
    dtype = keras.backend.standardize_dtype(array.dtype)
    return keras.KerasTensor(shape, dtype=dtype)
