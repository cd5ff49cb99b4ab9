"""How a model looks at rows in order to score them.

A look is a function from the inputs of rows to a model's outputs for them. It
has no gradient and leaves the model as it was. One look may be made of
another: in slices, at a coarse size, or with the weights of one step ago
(`PreviousWeights.looking`).
"""

import functools

import keras
from keras import ops

from keras_jest.losses.strips import join_strips
from keras_jest.losses.strips import strips


def as_it_is(model):
    """The whole of what `model` sees, with the weights that it has."""
    return functools.partial(model, training=False)


def in_slices(look, batch_size):
    """Look at so many rows at a time: the memory of activations is theirs.

    Args:
        look: a look.
        batch_size: int, or `None` for all rows at once.

    Returns:
        A look with the same outputs.
    """

    def look_in_slices(inputs):
        num_rows = keras.tree.flatten(inputs)[0].shape[0]
        if batch_size is None or batch_size >= num_rows:
            return look(inputs)
        slices = keras.tree.map_structure(
            lambda rows: strips(rows, batch_size), inputs
        )
        return keras.tree.map_structure(
            lambda rows: join_strips(rows, num_rows), ops.map(look, slices)
        )

    return look_in_slices
