"""Each curve and square of a page is of what its name says."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from keras_jest.evaluation import report_figures

pytestmark = pytest.mark.once
STEPS = np.arange(5)


def drawn(axes):
    return {line.get_label(): line.get_ydata() for line in axes.lines}


def test_learnability_of_sub_batch_and_super_batch():
    figure = report_figures.learnability_figure(STEPS, STEPS + 1.0, STEPS / 2)
    curves = drawn(figure.axes[0])
    np.testing.assert_array_equal(curves["sub-batch"], STEPS + 1.0)
    np.testing.assert_array_equal(curves["super-batch"], STEPS / 2)


def test_kept_so_far_and_for_the_first_time():
    figure = report_figures.kept_figure(STEPS, STEPS / 10, 1 - STEPS / 8, 40)
    for axes, title, expected in zip(
        figure.axes,
        ("kept once or more, so far", "kept for the first time"),
        (STEPS / 10, 1 - STEPS / 8),
        strict=True,
    ):
        assert axes.get_title() == title
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), expected)


def test_before_and_after():
    before, after = np.arange(9.0).reshape(3, 3), -np.arange(4.0).reshape(2, 2)
    figure = report_figures.matrix_figure(before, after)
    for axes, title, expected in zip(
        figure.axes,
        ("super-batch, before selection (3 rows)", "as it was picked (2 rows)"),
        (before, after),
        strict=False,
    ):
        assert axes.get_title().endswith(title)
        np.testing.assert_array_equal(axes.images[0].get_array(), expected)
        assert axes.get_xlabel() == "caption"


def test_groups_have_the_colours_of_their_key():
    curves = [STEPS / 10, STEPS / 20]
    (axes,) = report_figures.shares_figure(STEPS, curves).axes
    for line, curve, colour in zip(
        axes.lines, curves, report_figures.GROUPS, strict=False
    ):
        assert line.get_color() == colour
        np.testing.assert_array_equal(line.get_ydata(), curve)


def test_many_points_are_averaged_and_nan_left_out():
    x = np.arange(4000.0)
    y = np.where(x % 3, x, np.nan)
    short_x, short_y = report_figures.averaged(x, y)
    assert len(short_x) == report_figures.MOST_POINTS
    np.testing.assert_array_equal(short_x, short_y)
