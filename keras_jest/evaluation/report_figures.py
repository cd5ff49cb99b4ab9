"""The figures of a report: SVG that lies within the page."""

import base64
import io

import numpy as np

from keras_jest.data.require import require

EXTRA = "keras-jest[report]"
INK, KEPT, SEEN = "#7b828d", "#2a78d6", "#a0a7b1"
# Colours that are told apart by eyes of all kinds, on light and on dark.
GROUPS = "#2a78d6 #eb6834 #1baa7d #b07cc6 #d0a11d #e05c7e #5f7a8c".split()
MOST_POINTS = 400
WIDTH = 9.0


def as_uri(figure):
    """A figure as the address of an `<img>`."""
    file = io.BytesIO()
    figure.savefig(
        file, format="svg", transparent=True, metadata={"Date": None}
    )
    text = base64.b64encode(file.getvalue()).decode("ascii")
    return f"data:image/svg+xml;base64,{text}"


def new_axes(num_columns=1, height=2.9, **kwargs):
    figure = require("matplotlib.figure", EXTRA).Figure(
        figsize=(WIDTH, height), layout="constrained"
    )
    grid = figure.subplots(1, num_columns, squeeze=False, **kwargs)[0]
    for axes in grid:
        for side in axes.spines.values():
            side.set_color(INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK, labelsize=8)
        for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
            text.set_color(INK)
            text.set_fontsize(9)
    return figure, grid


def averaged(x, y):
    """At most so many points: the means of neighbours. NaN is left out."""
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if not len(x):
        return x, y
    parts = np.array_split(np.arange(len(x)), min(len(x), MOST_POINTS))
    return tuple(np.array([of[part].mean() for part in parts]) for of in (x, y))


def learnability_figure(steps, scores, seen_scores):
    """The mean score of what was kept, and of whole super-batches."""
    figure, (axes,) = new_axes()
    axes.axhline(0.0, color=INK, linewidth=0.6)
    axes.plot(*averaged(steps, scores), color=KEPT, label="sub-batch")
    axes.plot(*averaged(steps, seen_scores), color=SEEN, label="super-batch")
    axes.set(xlabel="step", ylabel="mean score")
    axes.legend(frameon=False, labelcolor=INK, fontsize=8)
    return figure


def kept_figure(steps, kept_share, first_share, records):
    """How much of the pool was kept so far, and how much was new to it."""
    figure, (left, right) = new_axes(2)
    left.plot(*averaged(steps, kept_share), color=KEPT)
    left.set(xlabel="step", ylabel=f"of {records:,d} records", ylim=(0, None))
    left.set_title("kept once or more, so far", fontsize=9, color=INK)
    right.plot(*averaged(steps, first_share), color=KEPT)
    right.set(xlabel="step", ylabel="of the sub-batch", ylim=(0, 1.03))
    right.set_title("kept for the first time", fontsize=9, color=INK)
    return figure


def matrix_figure(before, after):
    """Two matrices side by side, in one scale of colours."""
    figure, grid = new_axes(2, height=4.6)
    values = np.abs(np.concatenate([before.ravel(), after.ravel()]))
    # The diagonal is saturated, or nothing else would be seen.
    limit = float(np.nanpercentile(values, 99)) or 1.0
    titles = ("super-batch, before selection", "sub-batch, as it was picked")
    for axes, matrix, title in zip(grid, (before, after), titles, strict=True):
        image = axes.imshow(
            matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="equal"
        )
        axes.set_title(f"{title} ({len(matrix)} rows)", fontsize=9, color=INK)
        axes.set_xlabel("caption", fontsize=9, color=INK)
        axes.set_ylabel("picture", fontsize=9, color=INK)
    bar = figure.colorbar(image, ax=list(grid), shrink=0.75, extend="both")
    bar.ax.tick_params(colors=INK, labelsize=8)
    bar.outline.set_edgecolor(INK)
    bar.set_label("learner's loss - reference's", color=INK, fontsize=8)
    return figure


def shares_figure(steps, shares):
    """What part of the picks some groups have, over time.

    Names are for the page to write: they may be of any script.

    Args:
        steps: array, where spans of steps begin.
        shares: list of arrays of the same length, in the order of `GROUPS`.
    """
    figure, (axes,) = new_axes()
    for colour, share in zip(GROUPS, shares, strict=False):
        axes.plot(steps, share, color=colour)
    axes.set(xlabel="step", ylabel="part of what was kept", ylim=(0, None))
    return figure
