"""Strips: tiles of the logits that are computed, summed and forgotten."""

import keras
from keras import ops


def strips(rows, num_rows_per_strip=2048):
    """Cut `(n, ...)` rows into `(num_strips, rows_per_strip, ...)`.

    Row `i` goes to strip `i % num_strips`: where the rows are spread over
    devices, every strip is then spread over all of them. The last rows are
    zeros if `n` has no such divisor.
    """
    num_rows, *shape = rows.shape
    num_strips = -(-num_rows // num_rows_per_strip)
    rows_per_strip = -(-num_rows // num_strips)
    padding = num_strips * rows_per_strip - num_rows
    if padding:
        rows = ops.pad(rows, ((0, padding), *[(0, 0)] * len(shape)))
    rows = ops.reshape(rows, (rows_per_strip, num_strips, *shape))
    return ops.swapaxes(rows, 0, 1)


def join_strips(values, num_rows):
    """Undo `strips`: `(num_strips, rows_per_strip, ...)` to `(n, ...)`."""
    shape = values.shape[2:]
    return ops.reshape(ops.swapaxes(values, 0, 1), (-1, *shape))[:num_rows]


def map_strips(function, rows, num_rows_per_strip=2048):
    """`function(rows)`, computed for one strip of the rows at a time.

    Args:
        function: from a structure of `(m, ...)` tensors to a structure of
            `(m, ...)` tensors, where each row depends on its own row alone.
        rows: structure of `(n, ...)` tensors.
        num_rows_per_strip: int, the largest `m`.

    Returns:
        What `function` returns for all `n` rows.
    """
    num_rows = keras.tree.flatten(rows)[0].shape[0]
    if num_rows <= num_rows_per_strip:
        return function(rows)
    cut = keras.tree.map_structure(
        lambda array: strips(array, num_rows_per_strip), rows
    )
    return keras.tree.map_structure(
        lambda array: join_strips(array, num_rows), ops.map(function, cut)
    )


# log(1 + e) = e * polynomial(e) for e in [0, 1], to 3e-8 of its value.
LOG1P = (
    0.9999999403953552,
    -0.4999949336051941,
    0.3331909775733948,
    -0.2484298050403595,
    0.19106002151966095,
    -0.13663235306739807,
    0.07822582870721817,
    -0.029505163431167603,
    0.005232675466686487,
)


def softplus(logits):
    """`log(1 + exp(logits))`, as fast as the backend can; not for training.

    XLA turns a polynomial into one pass over the strip, at a third of the
    time that its own logarithms take; eager torch would make 20 passes of it.
    """
    if keras.backend.backend() == "torch":
        return ops.softplus(logits)
    small = ops.exp(-ops.abs(logits))
    series = LOG1P[-1]
    for coefficient in LOG1P[-2::-1]:
        series = series * small + coefficient
    return ops.relu(logits) + small * series
