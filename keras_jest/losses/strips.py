"""Strips: tiles of the logits that are computed, summed and forgotten."""

import keras
from keras import ops


def strips(rows, num_rows_per_strip):
    """Cut `(n, ...)` rows into `(num_strips, rows_per_strip, ...)`.

    Under `DataParallel` row `i` goes to strip `i % num_strips`, so that every
    strip is spread over all devices as the rows are; elsewhere rows stay in
    order, which needs no copy. The last rows are zeros if `n` has no such
    divisor.
    """
    num_rows, *shape = rows.shape
    num_strips = -(-num_rows // num_rows_per_strip)
    rows_per_strip = -(-num_rows // num_strips)
    padding = num_strips * rows_per_strip - num_rows
    if padding:
        rows = ops.pad(rows, ((0, padding), *[(0, 0)] * len(shape)))
    if not is_spread():
        return ops.reshape(rows, (num_strips, rows_per_strip, *shape))
    rows = ops.reshape(rows, (rows_per_strip, num_strips, *shape))
    return ops.swapaxes(rows, 0, 1)


def join_strips(values, num_rows):
    """Undo `strips`: `(num_strips, rows_per_strip, ...)` to `(n, ...)`."""
    shape = values.shape[2:]
    if is_spread():
        values = ops.swapaxes(values, 0, 1)
    return ops.reshape(values, (-1, *shape))[:num_rows]


def is_spread():
    """Whether the rows of a batch lie on several devices."""
    return keras.distribution.distribution() is not None


def map_strips(function, rows, num_rows_per_strip=4096):
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


def softplus(logits):
    """`log(1 + exp(logits))`, as fast as the backend can; not for training.

    Each backend has another form that costs little beside the matrix product
    that made the logits: measured by `benchmarks/selection.py`.
    """
    if keras.backend.backend() == "torch":
        return ops.softplus(logits)
    small = ops.exp(-ops.abs(logits))
    if keras.backend.backend() == "jax":
        return ops.relu(logits) + ops.log1p(small)
    # log(1 + small) is twice the inverse hyperbolic tangent of this ratio;
    # the next term of its series, at most 2e-7 of the sum, is left out.
    ratio = small / (2.0 + small)
    square = ops.square(ratio)
    series = 1 / 11
    for divisor in (9, 7, 5, 3, 1):
        series = series * square + 1 / divisor
    return ops.relu(logits) + 2.0 * ratio * series
