"""Runs whose layers have no FLOPs that are counted."""

import json

import keras
import numpy as np
import pytest

from keras_jest.callbacks import ComputeLedger
from keras_jest.callbacks.baseline_run import BaselineRun
from keras_jest.callbacks.baseline_run import passed_message
from keras_jest.callbacks.baseline_run import step_message
from keras_jest.evaluation.ledger_file import FORMAT
from keras_jest.evaluation.ledger_file import write_ledger

TOKENS = np.arange(24).reshape(8, 3) % 5
LABELS = np.arange(8) % 2


def fit_without_flops(ledger, epochs=2):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            keras.layers.Embedding(5, 2),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss)
    data = {"batch_size": 4, "epochs": epochs, "shuffle": False, "verbose": 0}
    model.fit(TOKENS, LABELS, callbacks=[ledger], **data)


@pytest.mark.parametrize("verbose", [0, 1])
def test_a_model_without_flops_passes_its_twin(tmp_path, capsys, verbose):
    path = tmp_path / "uniform.json"
    fit_without_flops(ComputeLedger(path=path, monitor="loss", verbose=0))
    ledger = ComputeLedger(path, tmp_path / "run.json", verbose=verbose)
    fit_without_flops(ledger)
    assert ledger.record["step"]["uniform_flops"] == 0
    passed = json.loads((tmp_path / "run.json").read_text())["passed"]
    assert passed["computation"] is None
    assert passed["examples_trained"] == passed["examples_looked_at"] == 1.0
    said = capsys.readouterr().out
    assert ("no FLOPs that are counted" in said) == bool(verbose)
    told = "with 1.00 of the examples trained and 1.00 of those looked at."
    assert (told in said) == bool(verbose)


@pytest.mark.parametrize("mode, best", [("max", 0.5), ("min", 0.25)])
def test_what_is_not_a_number_is_never_the_best(tmp_path, mode, best):
    values = [float("nan"), 0.25, None, 0.5]
    epochs = [{"monitored": value} for value in values]
    ledger = {"format": FORMAT, "epochs": epochs, "task": {"mode": mode}}
    ledger["task"]["monitor"] = "val_recall"
    path = tmp_path / "run.json"
    write_ledger(path, ledger)
    assert BaselineRun(path).best["monitored"] == best
    write_ledger(path, {**ledger, "epochs": epochs[:1]})
    with pytest.raises(ValueError, match="'val_recall', and never saw it"):
        BaselineRun(path)


def test_what_a_run_needed_is_told():
    passed = {
        "epoch": 2,
        "monitored": 0.5,
        "baseline_epoch": 4,
        "baseline_monitored": 0.75,
        "examples_trained": 0.25,
        "examples_looked_at": 1.5,
        "computation": 0.625,
    }
    assert passed_message(passed, "val_loss") == (
        "Epoch 2: val_loss is 0.5 and passes the baseline's best, 0.75 in "
        "epoch 4, with 0.62 times its computation, 0.25 of the examples "
        "trained and 1.50 of those looked at."
    )


def test_a_reference_costs_uniform_steps():
    step = {"uniform_flops": 10.0, "uniform_steps": 2.0, "break_even": 0.5}
    assert step_message(step, {"reference training": 1000.0}) == (
        "A step costs 2.00 uniform ones: it pays if 50% of the steps are "
        "saved, and 100 more for what the reference has cost."
    )
