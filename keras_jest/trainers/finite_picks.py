"""What happens where too few rows of a super-batch are finite."""

from keras import ops


def replace_nonfinite(picks, finite):
    """Fill the places of rows that are not finite by repeating finite ones.

    A compiled step cannot raise, so it trains on something harmless and
    counts; `SelectionMetrics` raises where Python is reached again.

    Args:
        picks: int32 tensor of shape `(b,)`, row numbers.
        finite: boolean tensor of shape `(n,)`, which rows are finite.

    Returns:
        Tuple of the int32 picks, `(b,)`, and how many places were filled.
    """
    num_picks = picks.shape[0]
    good = ops.cast(ops.take(finite, picks), "int32")
    num_good = ops.sum(good)
    # Good places first, each group in its order: keys are distinct.
    places = ops.arange(num_picks, dtype="int32")
    order = ops.argsort(places - num_picks * good)
    cycle = ops.mod(places, ops.maximum(num_good, 1))
    source = ops.where(ops.cast(good, "bool"), places, ops.take(order, cycle))
    return ops.take(picks, source), num_picks - num_good
