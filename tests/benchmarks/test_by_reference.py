"""Runs that differ in their reference alone, in the order of its quality."""

import pathlib
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib")
sys.path.append(str(pathlib.Path(__file__).parents[2] / "benchmarks"))

from by_reference import by_reference
from by_reference import draw

pytestmark = pytest.mark.once


def run(arm, quality, own, seed=0, rate=2e-3):
    return {
        "arm": arm,
        "quality": quality,
        "reference_quality": own,
        "seed": seed,
        "learning_rate": rate,
    }


RESULTS = [
    run("joint 0.8, reference as large", 0.5, 0.6),
    run("joint 0.8, reference as large", 0.7, 0.6, seed=1),
    run("easy reference, joint 0.8, reference as large", 0.4, 0.6),
    run("easy reference, joint 0.8, reference as large", 0.5, 0.6, seed=1),
    run("joint 0.8", 0.2, 0.1),
    run("joint 0.8", 0.9, 0.1, rate=1e-3),
    run("easy reference, joint 0.8", 0.3, 0.1),
    run("joint 0.8, reference of 4T", 0.8, 0.9),
    run("joint 0.8, gain 10", 0.8, 0.1),
    run("uniform, T", 0.1, None),
]


def test_both_scores_by_reference():
    small, large = by_reference(RESULTS)
    assert (small["reference"], large["reference"]) == ("of T", "as large")
    assert (small["learnability"], small["easy reference"]) == (0.2, 0.3)
    assert large["learnability"] == pytest.approx(0.6)
    assert large["easy reference"] == pytest.approx(0.45)
    assert (large["own"], large["seeds"]) == (pytest.approx(0.6), 2)
    assert small["gain"] == pytest.approx(-0.1)
    assert large["gain"] == pytest.approx(0.15)
    assert large["error"] == pytest.approx(0.05)


def test_the_picture():
    (axes,) = draw(by_reference(RESULTS)).axes
    curves = {of.get_label(): of.get_ydata() for of in axes.lines}
    np.testing.assert_allclose(curves["learnability, the learner"], [0.2, 0.6])
    np.testing.assert_allclose(curves["the reference itself"], [0.1, 0.6])
