"""The benchmark of ActiveCLIP runs to its end and counts what it costs."""

import json
import math
import os
import pathlib
import shlex
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results(tmp_path_factory, first_shards):
    file = tmp_path_factory.mktemp("results") / "noisy_captions.json"
    settings = (
        f"--data {first_shards} --seeds 0 --steps 8 --reference-steps 2 --arms "
        "'uniform, T' 'learnability, T/2' 'random subset, equal computation' "
        "'RHO-LOSS, T/2' 'sigmoid: learnability, T/2'"
    )
    script = str(ROOT / "benchmarks" / "noisy_captions.py")
    finished = subprocess.run(
        [sys.executable, script, *shlex.split(settings), "--json", str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return {row["arm"]: row for row in json.loads(file.read_text())}


def test_uniform_training_is_the_unit(results):
    row = results["uniform, T"]
    assert row["computation"]["total"] == 1.0
    assert row["drawn"] == 8 * 128
    assert row["clean"] is None and row["log_spread"] is None


def test_the_ledger_of_learnability(results):
    terms = results["learnability, T/2"]["computation"]
    scorer = 188_720 / 3_153_920  # at most 1/14
    assert terms["learner training"] == 0.5
    for name in ("online scoring", "reference scoring"):
        assert math.isclose(terms[name], 2 * 0.5 * scorer / 3)
    assert math.isclose(terms["online training"], 0.5 * scorer)
    assert math.isclose(terms["reference training"], 2 / 8 * scorer)


def test_the_control_costs_what_learnability_costs(results):
    total = results["learnability, T/2"]["computation"]["total"]
    row = results["random subset, equal computation"]
    assert row["steps"] == round(8 * total)
    assert row["drawn"] == row["steps"] * 256


def test_rho_loss_counts_the_scoring_by_the_learner(results):
    row = results["RHO-LOSS, T/2"]
    assert row["computation"]["online scoring"] == 0.5 * 2 / 3
    assert row["computation"]["online training"] == 0.0
    assert row["log_spread"] is None


def test_what_is_looked_at(results):
    for name in ("learnability, T/2", "sigmoid: learnability, T/2"):
        row = results[name]
        assert len(row["quality"]) == 4
        assert 0 <= min(row["quality"]) and max(row["quality"]) <= 1
        assert 0 <= row["clean"] <= 1
        assert math.isfinite(row["log_spread"])
