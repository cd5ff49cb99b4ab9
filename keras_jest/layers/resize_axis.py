"""Resizing of one axis of a tensor by a matrix."""

import math

from keras import ops


def resize_axis(array, matrix, axis):
    """Multiply one axis by a matrix, in float32.

    Args:
        array: tensor of any dtype, in which all axes but the first have known
            sizes; `old` elements along `axis`.
        matrix: NumPy array of shape `(new, old)`: a constant of the program.
        axis: int, from 0.

    Returns:
        A float32 tensor with `new` elements along `axis`.
    """
    first = [-1 if size is None else size for size in array.shape[:axis]]
    last = array.shape[axis + 1 :]
    new, old = matrix.shape
    lines = ops.reshape(ops.cast(array, "float32"), (-1, old, math.prod(last)))
    resized = ops.matmul(matrix.astype("float32"), lines)
    return ops.reshape(resized, (*first, new, *last))
