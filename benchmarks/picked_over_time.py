"""A picture of what runs on a pool picked over time.

    python benchmarks/picked_over_time.py heavy_tailed_pool.json picked.png

Of the results of `heavy_tailed_pool.py`, arm by arm, means over seeds: which
part of the picks was clean, which shows a rare concept (none of those that make
half of the pool's pictures), and which had been picked before. Each point is a
tenth of a run.
"""

import argparse
import json
import pathlib

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt

TITLES = {
    "clean": "clean",
    "rare": "of rare concepts",
    "repeated": "picked before",
}


def curves_of(results, kind):
    """By arm, the mean over seeds of one kind of picks in parts of a run."""
    groups = {}
    for row in results:
        if row["picked"] is not None:
            groups.setdefault(row["arm"], []).append(row["picked"][kind])
    return {arm: np.mean(runs, axis=0) for arm, runs in groups.items()}


def draw(results):
    figure, grid = plt.subplots(
        1, 3, figsize=(11, 3.6), sharex=True, layout="constrained"
    )
    for axes, (kind, title) in zip(grid, TITLES.items(), strict=True):
        for arm, curve in curves_of(results, kind).items():
            parts = (np.arange(len(curve)) + 0.5) / len(curve)
            axes.plot(parts, curve, label=arm)
        axes.set(title=title, xlabel="part of the run", ylim=(0, 1))
        axes.spines[["top", "right"]].set_visible(False)
    grid[0].set_ylabel("share of the picks")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("picture", type=pathlib.Path)
    parser.add_argument("--arms", nargs="+", help="only these")
    args = parser.parse_args()
    results = json.loads(args.results.read_text())
    if args.arms:
        results = [row for row in results if row["arm"] in args.arms]
    figure = draw(results)
    figure.savefig(args.picture, dpi=120)


if __name__ == "__main__":
    main()
