"""A picture of which score is better, by how good the reference is.

    python benchmarks/by_reference.py heavy_tailed_pool_tuning.json picture.png

Of the results of `heavy_tailed_pool.py` that differ in their reference alone:
what the learner reaches by each score, over what the reference reaches itself
on the same rows. Means over seeds, with the standard error of their
difference in the table.
"""

import argparse
import json
import pathlib

import matplotlib
import numpy as np
from worth import difference

matplotlib.use("Agg")

import matplotlib.pyplot as plt

SCORES = {
    "learnability": "joint 0.8",
    "easy reference": "easy reference, joint 0.8",
}
RATE = 2e-3


def by_reference(results):
    """A line per reference, in the order of their own quality.

    Returns:
        List of dicts: `reference`, its name; `own`, its quality; by each of
        `SCORES` the mean quality of the learners; `gain` and `error`, by what
        learnability is better, seed by seed.
    """
    easy, lines = SCORES["easy reference"], []
    results = [row for row in results if row["learning_rate"] == RATE]
    for name in sorted({row["arm"] for row in results}):
        rest = name.removeprefix(SCORES["learnability"])
        both = {score: arm + rest for score, arm in SCORES.items()}
        rows = {score: of_arm(results, arm) for score, arm in both.items()}
        if not name.startswith("joint 0.8") or not all(rows.values()):
            continue
        own = [row["reference_quality"] for row in rows["learnability"]]
        gain, error = difference(results, name, easy + rest)
        means = {
            score: np.mean([row["quality"] for row in of])
            for score, of in rows.items()
        }
        line = {"reference": rest.removeprefix(", reference ") or "of T"}
        seeds = len(rows["learnability"])
        line |= {"own": np.mean(own), "seeds": seeds, **means}
        lines.append({**line, "gain": gain, "error": error})
    return sorted(lines, key=lambda line: line["own"])


def of_arm(results, name):
    rows = [row for row in results if row["arm"] == name]
    return [row for row in rows if row.get("reference_quality") is not None]


def draw(lines):
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    own = [line["own"] for line in lines]
    for score, marker in zip(SCORES, "os", strict=True):
        reached = [line[score] for line in lines]
        axes.plot(own, reached, marker=marker, label=f"{score}, the learner")
    axes.plot(own, own, "--", color="grey", label="the reference itself")
    for line in lines:
        low = min(line[score] for score in SCORES)
        axes.annotate(
            line["reference"],
            (line["own"], low),
            xytext=(0, -16),
            textcoords="offset points",
            ha="center",
        )
    axes.set(xlabel="R@10 of the reference", ylabel="R@10")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def print_table(lines):
    print(f"{'reference':12s} {'own':>6s} seeds " + " ".join(SCORES) + " gain")
    for line in lines:
        reached = " ".join(f"{line[s]:{len(s)}.3f}" for s in SCORES)
        print(
            f"{line['reference']:12s} {line['own']:6.3f} {line['seeds']:5d} "
            f"{reached} {line['gain']:+.4f} (s.e. {line['error']:.4f})"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("picture", type=pathlib.Path)
    args = parser.parse_args()
    lines = by_reference(json.loads(args.results.read_text()))
    print_table(lines)
    draw(lines).savefig(args.picture, dpi=120)


if __name__ == "__main__":
    main()
