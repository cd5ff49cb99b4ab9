"""What runs are worth in uniform training: steps and computation."""

import numpy as np
from runs import by_arm


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


def difference(results, name, other):
    """What one arm is better by, seed by seed.

    Returns:
        Tuple of the mean difference of qualities and its standard error, over
        the seeds that both arms have.
    """
    runs = {(row["arm"], row["seed"]): row["quality"] for row in results}
    gains = [
        quality - runs[other, seed]
        for (arm, seed), quality in runs.items()
        if arm == name and (other, seed) in runs
    ]
    return np.mean(gains) if gains else np.nan, standard_error(gains)


def print_table(results):
    """Mean quality, its standard error, costs, and what they are worth.

    Three axes: examples trained on are steps times the sub-batch, the same for
    all; what was looked at is in thousands, computation in PFLOPs.
    """
    curve = curve_of(results)
    kinds = next((row["picked"] for row in results if row["picked"]), {})
    print(
        f"{'arm':38s} {'lr':>6s} {'R@10':>6s} {'s.e.':>6s} {'steps':>6s} "
        f"{'worth':>6s} {'seen':>6s} {'PFLOPs':>7s} {'worth':>6s} "
        + " ".join(f"{kind:>8s}" for kind in kinds)
    )
    for (name, rate), rows in by_arm(results).items():
        qualities = [row["quality"] for row in rows]
        steps, total = rows[0]["steps"], rows[0]["flops"]["total"]
        in_steps, in_flops = worth(np.mean(qualities), curve)
        print(
            f"{name:38s} {rate:6.0e} {np.mean(qualities):6.3f} "
            f"{standard_error(qualities):6.3f} {steps:6d} "
            f"{in_steps / steps:6.2f} {rows[0]['seen'] / 1e3:6.0f} "
            f"{total / 1e15:7.2f} {in_flops / total:6.2f} {shares(rows)}"
        )


def standard_error(qualities):
    if len(qualities) < 2:
        return np.nan
    return np.std(qualities, ddof=1) / np.sqrt(len(qualities))


def shares(rows):
    """Means over seeds and the whole run, of what was picked."""
    if rows[0]["picked"] is None:
        return ""
    return " ".join(
        f"{np.mean([row['picked'][kind] for row in rows]):8.0%}"
        for kind in rows[0]["picked"]
    )
