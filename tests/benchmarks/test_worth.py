"""Reading off a curve of uniform runs what another run is worth."""

import pathlib
import sys

import numpy as np
import pytest

sys.path.append(str(pathlib.Path(__file__).parents[2] / "benchmarks"))

from worth import curve_of
from worth import difference
from worth import worth

pytestmark = pytest.mark.once


def run(steps, quality, uniform=True):
    flops = {"total": 7.0 * steps}
    return {
        "uniform": uniform,
        "steps": steps,
        "quality": quality,
        "flops": flops,
    }


RESULTS = [
    run(400, 0.3),
    run(100, 0.05),
    run(100, 0.15),
    run(1600, 0.4),
    run(100, 0.9, uniform=False),
]


@pytest.mark.parametrize(
    "quality, steps", [(0.1, 100), (0.2, 200), (0.3, 400), (0.35, 800)]
)
def test_between_two_runs_by_the_logarithm_of_steps(quality, steps):
    found, flops = worth(quality, curve_of(RESULTS))
    assert found == pytest.approx(steps)
    assert flops == pytest.approx(7 * steps)


@pytest.mark.parametrize("quality", [0.099, 0.41])
def test_nothing_is_known_beyond_the_runs(quality):
    assert np.isnan(worth(quality, curve_of(RESULTS))).all()


def test_a_difference_is_taken_seed_by_seed():
    runs = [("a", 0, 0.4), ("b", 0, 0.1), ("b", 1, 0.3), ("a", 1, 0.7)]
    runs += [("a", 2, 0.9), ("c", 0, 0.5)]
    keys = ("arm", "seed", "quality")
    results = [dict(zip(keys, run, strict=True)) for run in runs]
    mean, error = difference(results, "a", "b")
    # Gains of 0.3 and 0.4: their deviation is 0.1 / sqrt(2), over sqrt(2).
    assert mean == pytest.approx(0.35) and error == pytest.approx(0.05)
    assert np.isnan(difference(results, "a", "c")[1])
