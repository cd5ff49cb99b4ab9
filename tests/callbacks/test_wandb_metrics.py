"""What `fit` tells reaches the boards that people look at."""

import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

sys.path.append(str(pathlib.Path(__file__).parents[1] / "trainers"))

from small_models import make_classifier
from small_models import make_labelled
from small_models import make_model
from small_models import make_pool

from keras_jest.callbacks import WandbMetrics


class FakeRun:
    def __init__(self):
        self.defined, self.logged = {}, []

    def define_metric(self, name, step_metric):
        self.defined[name] = step_metric

    def log(self, values):
        self.logged.append(values)


def fit(callback):
    return make_model().fit(
        make_pool(),
        batch_size=20,
        epochs=3,
        verbose=0,
        shuffle=False,
        callbacks=[callback],
    )


@pytest.mark.once
def test_epochs_and_some_steps_are_logged(monkeypatch):
    run = FakeRun()
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(run=run))
    history = fit(WandbMetrics(every=3)).history
    assert run.defined == {"epoch/*": "step", "step/*": "step"}
    epochs = [of for of in run.logged if "epoch/loss" in of]
    assert [of["step"] for of in run.logged] == [2, 3, 4, 6, 6]
    assert [of["step"] for of in epochs] == [2, 4, 6]
    for number, values in enumerate(epochs):
        expected = {f"epoch/{of}": history[of][number] for of in history}
        assert values == {**expected, "epoch/epoch": number + 1} | {
            "step": 2 * number + 2
        }
    assert "epoch/kept_learnability" in epochs[0]
    assert run.logged[-2].keys() >= {"step/learnability", "step/loss"}


@pytest.mark.once
def test_a_run_that_is_given_needs_no_import(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    run = FakeRun()
    fit(WandbMetrics(run))
    assert len(run.logged) == 3
    with pytest.raises(ImportError, match=r"keras-jest\[wandb\]"):
        fit(WandbMetrics())
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(run=None))
    with pytest.raises(ValueError, match="wandb.init"):
        fit(WandbMetrics())
    with pytest.raises(ValueError, match="every=0"):
        WandbMetrics(run, every=0)


def log_confusion(epoch, logs):
    logs["confusion"] = keras.ops.reshape(keras.ops.arange(4), (2, 2))


def test_a_value_of_several_numbers_is_logged_by_each():
    """Keras keeps it in the history as the array that it is."""
    run, (x, y, _) = FakeRun(), make_labelled()
    model = make_classifier()
    score = keras.metrics.F1Score(average=None, name="f1")
    model.compile("sgd", "categorical_crossentropy", metrics=[score])
    add = keras.callbacks.LambdaCallback(on_epoch_end=log_confusion)
    callbacks = [add, WandbMetrics(run, every=1)]
    y = np.eye(3, dtype="float32")[y]
    history = model.fit(x, y, 40, verbose=0, callbacks=callbacks).history
    step, epoch = run.logged
    names = [f"epoch/f1/{place}" for place in range(3)]
    assert [epoch[name] for name in names] == history["f1"][0].tolist()
    assert [epoch[f"epoch/confusion/{place}"] for place in range(4)] == [
        *range(4)
    ]
    assert epoch["epoch/loss"] == history["loss"][0]
    assert not {"epoch/f1", "epoch/loss/0"} & epoch.keys()
    assert step["step/f1/2"] == epoch["epoch/f1/2"]
    values = [*step.values(), *epoch.values()]
    assert {type(of) for of in values} <= {float, int}


NO_TENSORFLOW = f"""
import os, sys
sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
sys.modules["tensorflow"] = None
from test_wandb_metrics import FakeRun, WandbMetrics, fit
fit(WandbMetrics(FakeRun(), every=1))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="it is TensorFlow"
)
def test_no_tensorflow_is_imported():
    subprocess.run([sys.executable, "-c", NO_TENSORFLOW], check=True)


@pytest.mark.once
def test_keras_own_callback_shows_the_same_in_tensorboard(tmp_path):
    pytest.importorskip("tensorflow")
    reading = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="`pip install tensorboard` for what Keras' callback writes",
    )
    history = fit(keras.callbacks.TensorBoard(tmp_path)).history
    events = reading.EventAccumulator(str(tmp_path / "train"))
    events.Reload()
    for name in ("learnability", "kept_learnability", "nonfinite_rows"):
        values = [
            np.frombuffer(of.tensor_proto.tensor_content, "float32").item()
            for of in events.Tensors(f"epoch_{name}")
        ]
        assert values == pytest.approx(history[name])
