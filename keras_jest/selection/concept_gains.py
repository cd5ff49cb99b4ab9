"""What it is worth to see each concept once more, in exact integers.

Everything is counted in whole rows. A gain is one division and one sum of
floats, rounded to a fixed point, and gains are added as integers: so equal
counts give equal gains on every backend, in whatever order they are added.
"""

from keras import ops

UNITS = 2**20  # Of a gain, which lies between -1 and 2.
LIMB = 11  # Bits: a million concepts cannot overflow the sum of a limb.


def gains_of(counts, targets, frequencies):
    """The gain of one more row of a concept, where it has so many already.

    Below its target a concept gains the share of it that is missing, and
    more if few rows of the super-batch have it. From its target on it costs
    a half, and the more the further beyond.

    Args:
        counts: int32 tensor, rows of the concept that were trained on.
        targets: int32 tensor of that shape, how many there should be.
        frequencies: int32 tensor of that shape, rows of the super-batch
            that have the concept.

    Returns:
        int32 tensor of that shape, in units of `1 / UNITS`. It falls where
        counts rise.
    """
    counts, targets, missing, frequencies = (
        ops.cast(of, "float32")
        for of in (counts, targets, targets - counts, frequencies)
    )
    below = missing / ops.maximum(targets, 1.0)
    below = below + 1.0 / ops.maximum(frequencies, 1.0)
    beyond = 0.5 * targets / ops.maximum(counts, 1.0) - 1.0
    gains = ops.where(missing > 0, below, beyond)
    return ops.cast(ops.round(gains * UNITS), "int32")


def targets_of(counts, shares, frequencies, num_kept):
    """How many rows of each concept there should be after a step.

    Concepts that a super-batch lacks can neither be had nor be asked for.
    So those that it has share, in proportion to `shares`, what was trained
    on of them before and what a sub-batch of average rows will add.

    Args:
        counts: int32 tensor of shape `(c,)`, rows that were trained on.
        shares: float32 tensor of shape `(c,)`, whole numbers.
        frequencies: int32 tensor of shape `(c,)`, rows of the super-batch.
        num_kept: float, what part of the super-batch is kept.

    Returns:
        int32 tensor of shape `(c,)`, at least 1 where a share is not 0.
    """
    is_here = ops.cast(frequencies > 0, "int32")
    trained = exact_sum(counts * is_here)
    added = ops.round(exact_sum(frequencies) * num_kept)
    whole = ops.sum(shares * ops.cast(is_here, "float32"))
    level = (trained + added) / ops.maximum(whole, 1.0)
    targets = ops.cast(ops.round(shares * level), "int32")
    return ops.maximum(targets, ops.cast(shares > 0, "int32"))


def exact_sum(numbers):
    """The sum of int32 numbers from 0, as a float32: rounded once.

    Of int32 numbers it could overflow, and float32 numbers add up to another
    sum in another order.
    """
    limbs = [
        ops.bitwise_and(ops.right_shift(numbers, places), 2**LIMB - 1)
        for places in range(0, 32, LIMB)
    ]
    sums = [ops.cast(ops.sum(limb), "float32") for limb in limbs]
    return sum(of * 2.0 ** (LIMB * n) for n, of in enumerate(sums))


def places_within(concepts, num_concepts):
    """How many times each concept came before in a list.

    Args:
        concepts: int32 tensor of shape `(m,)`, from 0 to `num_concepts - 1`.
        num_concepts: int.

    Returns:
        int32 tensor of shape `(m,)`.
    """
    size = concepts.shape[0]
    by_concept = ops.argsort(concepts)  # Equal ones by their place.
    counts = count(concepts, num_concepts)
    starts = ops.take(ops.cumsum(counts) - counts, concepts)
    # Not `scatter`, which is a loop in Python on torch.
    ranks = ops.scatter_update(
        ops.zeros_like(concepts),
        ops.expand_dims(by_concept, 1),
        ops.arange(size, dtype="int32"),
    )
    return ranks - ops.cast(starts, "int32")


def count(concepts, num_concepts):
    """How often each concept occurs: int32 tensor of `(num_concepts,)`.

    Args:
        concepts: int32 tensor, from 0 to `num_concepts - 1`.
        num_concepts: int.
    """
    concepts = ops.reshape(concepts, (-1,))
    ones = ops.ones_like(concepts)
    counts = ops.segment_sum(ones, concepts, num_segments=num_concepts)
    return ops.cast(counts, "int32")
