"""What runs are worth in uniform training: steps and computation."""

import numpy as np


def curve_of(results):
    """The mean quality of uniform runs by their number of steps.

    Args:
        results: list of dicts with `uniform` (bool), `steps`, `quality` and
            `flops`.

    Returns:
        Tuple of float arrays: steps, ascending, their qualities, and FLOPs.
    """
    groups = {}
    for row in results:
        if row["uniform"]:
            groups.setdefault(row["steps"], []).append(row)
    steps = sorted(groups)
    qualities = [np.mean([r["quality"] for r in groups[of]]) for of in steps]
    flops = [groups[of][0]["flops"]["total"] for of in steps]
    return tuple(np.array(of, "float64") for of in (steps, qualities, flops))


def worth(quality, curve):
    """The steps and FLOPs that uniform training needs for a quality.

    Between two of its runs quality goes with the logarithm of steps. Beyond
    its runs nothing is known, and NaN is returned.

    Args:
        quality: float.
        curve: what `curve_of` returned.

    Returns:
        Tuple of two floats.
    """
    steps, qualities, flops = curve
    for i in range(len(steps) - 1):
        low, high = qualities[i : i + 2]
        if low <= quality <= high and low < high:
            part = (quality - low) / (high - low)
            ends = np.log(steps[i : i + 2])
            found = np.exp(ends[0] + part * (ends[1] - ends[0]))
            # Uniform training costs as much in every step.
            return found, found * flops[i] / steps[i]
    return np.nan, np.nan
