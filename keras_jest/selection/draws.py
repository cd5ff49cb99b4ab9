"""Seeded draws without replacement that are equal on every backend."""

import keras
from keras import ops

LOWEST = -3e38


def mix(bits):
    """The 32-bit murmur3 finaliser, in wrap-around int32."""
    bits = ops.bitwise_xor(bits, logical_right_shift(bits, 16))
    bits = ops.multiply(bits, as_int32(0x85EBCA6B))
    bits = ops.bitwise_xor(bits, logical_right_shift(bits, 13))
    bits = ops.multiply(bits, as_int32(0xC2B2AE35))
    return ops.bitwise_xor(bits, logical_right_shift(bits, 16))


def fold_in(seed, number):
    """A new seed from a seed and the number of a step, a chunk or a row.

    The seed is mixed before each addition. Otherwise chunk 1 of one seed
    would meet the noise of chunk 0 of the next, and row 7 that of row 8.
    """
    return ops.add(mix(seed), ops.cast(number, "int32"))


def gumbel_noise(seed, num_rows):
    """Standard Gumbel noise, a function of the seed and the row alone.

    Args:
        seed: int32 scalar tensor.
        num_rows: int, how many numbers.

    Returns:
        float32 tensor of shape `(num_rows,)`, always finite.
    """
    bits = mix(fold_in(seed, ops.arange(num_rows)))
    # 23 bits and a half: with 24 the largest uniform would round to 1.
    top = ops.cast(logical_right_shift(bits, 9), "float32")
    uniform = (top + 0.5) * 2.0**-23
    return -ops.log(-ops.log(uniform))


def draw(scores, gain, size, seed, drawn=None):
    """Draw `size` rows without replacement, with odds `exp(gain * score)`.

    The `size` largest of score and Gumbel noise follow the same law as
    drawing row after row from the softmax of what is left, in one pass
    and without a normaliser.

    Args:
        scores: float32 tensor of shape `(n,)`. Rows that are not finite come
            last, and only where no others are left.
        gain: float. What scores are multiplied by. Infinity takes the
            highest scores, equal ones by their row number.
        size: int, how many rows.
        seed: int32 scalar tensor.
        drawn: optional boolean tensor of shape `(n,)`, rows that were drawn
            before and will not be drawn again.

    Returns:
        int32 tensor of shape `(size,)`, distinct rows, best first.
    """
    if gain != float("inf"):
        scores = scores * gain + gumbel_noise(seed, scores.shape[0])
    keys = ops.where(ops.isfinite(scores), scores, LOWEST)
    if drawn is not None:
        keys = ops.where(drawn, -float("inf"), keys)
    return top_rows(keys, size)


def top_rows(keys, size):
    """The rows of the `size` largest keys, equal ones by their number."""
    # XLA puts -0.0 below 0.0.
    keys = ops.where(ops.equal(keys, 0.0), 0.0, keys)
    if keras.backend.backend() == "torch":
        # The order that torch's top_k gives to equal keys is arbitrary.
        return ops.argsort(ops.negative(keys))[:size]
    return ops.cast(ops.top_k(keys, size)[1], "int32")


def mark(drawn, picks):
    """Set the rows `picks` of the boolean `(n,)` tensor `drawn`."""
    picks = ops.expand_dims(picks, 1)
    return ops.scatter_update(drawn, picks, ops.ones_like(picks[:, 0], "bool"))


def as_int32(bits):
    return bits - 2**32 if bits >= 2**31 else bits


def logical_right_shift(bits, places):
    # An arithmetic shift copies the sign bit: mask its copies away.
    mask = 2 ** (32 - places) - 1
    return ops.bitwise_and(ops.right_shift(bits, places), mask)
