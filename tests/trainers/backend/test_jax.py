import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("these are about JAX", allow_module_level=True)

SCRIPT = pathlib.Path(__file__).with_name("run_on_four_devices.py")


@pytest.fixture(scope="module")
def runs():
    """What a fresh process with four virtual devices found out."""
    root = SCRIPT.parents[3]
    paths = [str(root), str(SCRIPT.parents[1])]
    environment = os.environ | {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": os.pathsep.join(paths),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    }
    process = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def test_four_devices_pick_and_learn_what_one_does(runs):
    picks = runs["one_device"]["picks"]
    assert len(picks) == 2
    assert runs["four_devices"]["picks"] == picks
    assert runs["distance"] < 1e-5
    assert runs["step"]["picks"] == picks[:1]
    assert runs["step_in_parts"]["picks"] == picks[:1]


def test_four_devices_train_small_models_as_one_does(runs):
    picks = runs["class_act"]["picks"]
    assert len(picks) == 60
    assert runs["class_act_on_four"]["picks"] == picks
    assert runs["class_act_distance"] < 1e-5


def test_every_device_scores_and_trains_its_share(runs):
    """Hidden layers of width 53 tell how many rows a device works on."""
    # 5 of the 20 that are trained; 12 of 48, or 4 of 16, that are scored.
    for run, scored in (("step", 12), ("step_in_parts", 4)):
        rows = runs[run]["rows_of_a_device"]
        assert {5, scored} <= set(rows)
        assert max(rows) <= 12
    # Left alone, XLA lets every device train on the whole sub-batch.
    assert 20 in runs["step_not_laid_out"]["rows_of_a_device"]


def test_every_device_trains_its_share_of_both_sizes(runs):
    picks = runs["flexi"]["picks"]
    assert len(picks) == 2
    assert runs["flexi_on_four"]["picks"] == picks
    assert runs["flexi_distance"] < 1e-5
    # 3 of 12 coarse and of 12 fine ones are trained; 12 of 48 are scored.
    rows = runs["flexi_step"]["rows_of_a_device"]
    assert {3, 12} <= set(rows)
    assert max(rows) <= 12
    assert "10 coarse and 10 fine rows" in runs["flexi_error"]


def test_sizes_that_the_devices_do_not_divide(runs):
    for name in ("super_batch", "evaluation", "prediction"):
        assert "47" in runs["errors"][name]
    assert "sub-batch=18, devices=4" in runs["errors"]["sub_batch"]
    for error in runs["errors"].values():
        assert "drop_remainder" in error
