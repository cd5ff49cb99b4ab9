"""What `ConceptBalance` refuses."""

import numbers

import numpy as np

from keras_jest.selection.selection_policy import is_count

WHOLE = 2**24  # Whole numbers up to it add up exactly in float32.
NAMED = 5  # Rows that an error names.


def check_arguments(num_concepts, num_chunks, target):
    """Raise unless a policy can be made of these."""
    if not is_count(num_concepts) or num_concepts > 2**20:
        raise ValueError(
            "`num_concepts` must be an int from 1 to 2**20. "
            f"Received: num_concepts={num_concepts}"
        )
    if not is_count(num_chunks):
        raise ValueError(
            "`num_chunks` must be an int of at least 1. "
            f"Received: num_chunks={num_chunks}"
        )
    if target is None:
        return
    target = np.asarray(target, "float64")
    is_each = target.shape == (num_concepts,)
    if not is_each or not np.isfinite(target).all() or not is_some(target):
        raise ValueError(
            "`target` must be a finite number of at least 0 for each concept, "
            "not all of them 0, or None for equal targets. Received: "
            f"num_concepts={num_concepts}, target of shape {target.shape}: "
            f"{target}"
        )


def is_some(target):
    return target.min() >= 0 and target.max() > 0


def shares_of(num_concepts, target):
    """Whole numbers in proportion to `target`, 0 only where it is 0.

    Args:
        num_concepts: int.
        target: sequence of numbers, or `None` for equal shares.

    Returns:
        float32 array of shape `(num_concepts,)`, with an exact sum.
    """
    if target is None:
        return np.ones(num_concepts, "float32")
    target = np.asarray(target, "float64")
    target = target / target.max()  # Else their sum could be infinite.
    # Room for those that are rounded up.
    shares = np.floor(target / target.sum() * (WHOLE - num_concepts))
    return np.where(target > 0, np.maximum(shares, 1), 0).astype("float32")


def check_concepts(concepts, num_concepts):
    """Raise unless an array holds the concepts of rows.

    Args:
        concepts: array of a first batch, on the host.
        num_concepts: int.
    """
    concepts = np.asarray(concepts)
    is_int = issubclass(concepts.dtype.type, numbers.Integral)
    if not is_int or concepts.ndim not in (1, 2) or not concepts.shape[-1]:
        raise ValueError(
            "`concepts` must be integers of shape (n, k), up to k concepts a "
            "row and -1 in the other places, or of shape (n,), one a row. "
            f"Received: {concepts.dtype} of shape {concepts.shape}"
        )
    is_outside = (concepts < -1) | (concepts >= num_concepts)
    if is_outside.any():
        rows = is_outside.reshape(len(concepts), -1).any(axis=1).nonzero()[0]
        raise ValueError(
            f"Concepts must be from 0 to {num_concepts - 1}, or -1 for none. "
            f"Received: {is_outside.sum()} others in {len(rows)} rows of the "
            f"first batch, such as {concepts[is_outside][0]}; rows "
            f"{rows[:NAMED].tolist()}{' ...' * (len(rows) > NAMED)}. Mend the "
            f"data, or raise `num_concepts`={num_concepts}."
        )
