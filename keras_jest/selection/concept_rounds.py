"""How a sub-batch is filled with what its concepts lack, round by round."""

from typing import NamedTuple

from keras import ops

from keras_jest.selection.concept_gains import count
from keras_jest.selection.concept_gains import gains_of
from keras_jest.selection.concept_gains import places_within
from keras_jest.selection.concept_gains import targets_of
from keras_jest.selection.draws import LOWEST
from keras_jest.selection.draws import mark
from keras_jest.selection.draws import top_rows


class Slots(NamedTuple):
    """The concepts of a super-batch, and what does not change with picks.

    Args:
        concepts: int32 tensor of shape `(n, k)`, `num_concepts` where there
            is none.
        targets: int32 tensor of that shape, of each concept.
        frequencies: int32 tensor of that shape, of each concept.
        num_concepts: int.
    """

    concepts: object
    targets: object
    frequencies: object
    num_concepts: int

    def values(self, counts):
        """What each row is worth: float32 tensor of shape `(n,)`.

        Args:
            counts: int32 tensor of shape `(n, k)`, of each concept.
        """
        is_one = ops.cast(self.concepts < self.num_concepts, "int32")
        gains = gains_of(counts, self.targets, self.frequencies)
        total = ops.cast(ops.sum(gains * is_one, axis=1), "float32")
        number = ops.cast(ops.sum(is_one, axis=1), "float32")
        values = total / ops.maximum(number, 1.0)
        return ops.where(number > 0, values, LOWEST)


def slots_of(concepts, counts, shares, num_kept):
    """The slots of a super-batch.

    Args:
        concepts: int32 tensor of shape `(n, k)`; `c` where there is none.
        counts: int32 tensor of shape `(c,)`, rows that were trained on.
        shares: float32 tensor of shape `(c,)`, whole numbers.
        num_kept: int, how many rows will be kept.
    """
    num_concepts = counts.shape[0]
    frequencies = count(concepts, num_concepts + 1)
    part = num_kept / concepts.shape[0]
    targets = targets_of(counts, shares, frequencies[:-1], part)
    return Slots(
        concepts,
        ops.take(ops.pad(targets, (0, 1)), concepts),
        ops.take(frequencies, concepts),
        num_concepts,
    )


def fill(slots, counts, num_kept, num_chunks):
    """Pick rows in rounds of equal size, but for a smaller last one.

    Args:
        slots: `Slots` of `n` rows.
        counts: int32 tensor of shape `(c,)`, rows that were trained on.
        num_kept: int, how many rows to pick.
        num_chunks: int, in how many rounds.

    Returns:
        Tuple of the picks, int32 of shape `(num_kept,)`, and the counts with
        those of the picks.
    """
    num_rows, num_concepts = slots.concepts.shape[0], slots.num_concepts
    size = -(-num_kept // min(num_chunks, num_kept))
    num_rounds = -(-num_kept // size)

    def one_round(number, state):
        counts, drawn, picks = state
        rows = best_rows(slots, counts, drawn, size)
        start = number * size
        is_kept = ops.arange(size, dtype="int32") + start < num_kept
        seen = ops.take(slots.concepts, rows, axis=0)
        # The last round may find more rows than there are places.
        seen = ops.where(ops.expand_dims(is_kept, 1), seen, num_concepts)
        counts = counts + count(seen, num_concepts + 1)
        picks = ops.slice_update(picks, (start,), rows)
        return counts, mark(drawn, rows), picks

    state = (
        ops.pad(counts, (0, 1)),
        ops.zeros((num_rows,), "bool"),
        ops.zeros((num_rounds * size,), "int32"),
    )
    counts, _, picks = ops.fori_loop(0, num_rounds, one_round, state)
    return picks[:num_kept], counts[:-1]


def best_rows(slots, counts, drawn, size):
    """The rows of one round: `size` row numbers, the best first.

    Rows that share a concept are worth less together. So each row is valued
    as if those of its concepts that are ranked above it were picked before.
    """
    num_rows, width = slots.concepts.shape
    counts = ops.take(counts, slots.concepts)
    ranked = top_rows(without(slots.values(counts), drawn), num_rows)
    places = ops.reshape(
        ops.arange(num_rows * width, dtype="int32"), (-1, width)
    )
    places = ops.reshape(ops.take(places, ranked, axis=0), (-1,))
    left = ops.where(
        ops.expand_dims(drawn, 1), slots.num_concepts, slots.concepts
    )
    in_order = ops.take(ops.reshape(left, (-1,)), places)
    before = ops.scatter_update(
        ops.zeros_like(in_order),
        ops.expand_dims(places, 1),
        places_within(in_order, slots.num_concepts + 1),
    )
    counts = counts + ops.reshape(before, (num_rows, width))
    return top_rows(without(slots.values(counts), drawn), size)


def without(values, drawn):
    return ops.where(drawn, -float("inf"), values)
