import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest
from small_models import Recorder
from small_models import assert_same_weights
from small_models import fit
from small_models import make_model
from small_models import make_pool

from keras_jest import JointSelection

if keras.backend.backend() != "tensorflow":
    pytest.skip("these are about TensorFlow", allow_module_level=True)

import tensorflow as tf


def test_xla_picks_the_same():
    runs = []
    for jit_compile in (True, False):
        model = make_model(
            selection=JointSelection(sub_batch_size=5, num_chunks=2),
            jit_compile=jit_compile,
        )
        assert model.jit_compile is jit_compile
        recorder = Recorder(model)
        fit(model, make_pool(20))
        runs.append((model, recorder))
    (one, first), (other, second) = runs
    assert first.picks == second.picks
    assert len(first.picks[0]) == 5
    assert_same_weights(one, other, rtol=1e-5, atol=1e-6)


def test_a_strategy_of_one_device_changes_nothing():
    model = make_model()
    fit(model, make_pool())
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        other = make_model()
    fit(other, make_pool())
    assert_same_weights(model, other, rtol=1e-6, atol=1e-7)


def run(name):
    """What a script printed that had a process of its own."""
    script = pathlib.Path(__file__).with_name(name)
    root = script.parents[3]
    paths = [str(root), str(script.parents[1])]
    process = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])


def test_each_of_two_replicas_selects_from_its_own_part():
    found = run("run_on_two_replicas.py")
    assert found["num_replicas"] == 2
    assert found["draws"] == 2
    assert found["distance"] < 1e-6
    assert found["moved"] > 1e-3


def test_every_model_of_class_act_learns_from_two_replicas():
    found = run("run_class_act_on_two_replicas.py")
    assert found["num_steps"] == 2
    for part in ("learner", "online", "reference"):
        assert found[part] < 1e-6
        assert found[f"{part}_moved"] > 1e-3
    assert "2 replicas" in found["log"]
