"""Whether two scorers put rows in the same order."""

import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.evaluation.rank_agreement")
def rank_agreement(scores: Tensor, others: Tensor) -> float:
    """Spearman's rank correlation of two scores of the same rows.

    It says whether a cheap scorer, such as a learner that sees coarse
    pictures, would choose what a dear one would. Ties share their ranks.

    Args:
        scores: float array of shape `(n,)`.
        others: float array of shape `(n,)`. Rows that are not finite in
            either are left out.

    Returns:
        A float from -1 to 1: 1 is the same order, 0 an unrelated one. It is
        NaN where one scorer gives all rows one score.

    Raises:
        ValueError: if the scores are not two arrays of one length.

    Example:

    ```python
    from keras_jest.evaluation import rank_agreement

    rank_agreement([0.1, 0.2, 0.3], [1.0, 2.0, 30.0])  # 1.0
    ```
    """
    scores, others = (np.asarray(of, "float64") for of in (scores, others))
    if scores.ndim != 1 or scores.shape != others.shape:
        raise ValueError(
            "Two scores of the same rows are compared: two arrays of shape "
            f"(n,). Received: arrays of shape {scores.shape} and "
            f"{others.shape}"
        )
    finite = np.isfinite(scores) & np.isfinite(others)
    ranks = [average_ranks(of[finite]) for of in (scores, others)]
    one, other = (of - of.mean() if len(of) else of for of in ranks)
    norm = np.sqrt(np.sum(one**2) * np.sum(other**2))
    return float(np.sum(one * other) / norm) if norm > 0 else float("nan")


def average_ranks(values):
    """The rank of each value, of equal ones the mean of theirs."""
    _, place, counts = np.unique(
        values, return_inverse=True, return_counts=True
    )
    last = np.cumsum(counts)
    return (last - 0.5 * (counts - 1))[place]
