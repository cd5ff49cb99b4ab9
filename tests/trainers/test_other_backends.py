"""A file from one backend goes on training on the others."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from small_models import Recorder
from small_models import fit
from small_models import make_dual_encoder
from small_models import make_pool
from small_models import weights_of

from keras_jest import JESTModel
from keras_jest.losses import SigmoidContrastiveLoss

FOLDER = pathlib.Path(__file__).parent

GO_ON = """
import json
import sys

import keras
from small_models import Recorder, fit, make_pool, weights_of

path, output = sys.argv[1:]
model = keras.saving.load_model(path)
assert model.jit_compile or keras.backend.backend() != "jax"
recorder = Recorder(model)
fit(model, make_pool(60, first=100))
weights = [weight.tolist() for weight in weights_of(model)]
with open(output, "w") as file:
    json.dump([recorder.picks, weights], file)
"""


def go_on(backend, folder):
    """Load a model elsewhere, train it on, and say what came of it."""
    environment = {**os.environ, "KERAS_BACKEND": backend}
    paths = [FOLDER, FOLDER.parents[1], environment.get("PYTHONPATH")]
    environment["PYTHONPATH"] = os.pathsep.join(map(str, filter(None, paths)))
    arguments = [str(folder / "model.keras"), str(folder / backend)]
    command = [sys.executable, "-c", GO_ON, *arguments]
    subprocess.run(command, check=True, env=environment)
    return json.loads((folder / backend).read_text())


def names_in(config):
    """All names of modules in a config."""
    if isinstance(config, dict):
        yield str(config.get("module"))
        for value in config.values():
            yield from names_in(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from names_in(value)


@pytest.mark.parametrize("make", ["Adam", "AdamW", "SGD", "Lion", "RMSprop"])
def test_no_name_is_a_backend_s_own(make):
    """Not of the model's optimizer, nor of one that a part was trained by."""
    optimizer = getattr(keras.optimizers, make)
    learner = make_dual_encoder()
    learner.image_encoder.compile(optimizer(0.01), loss="mse")
    learner.compile(optimizer(0.01))
    model = JESTModel(learner, make_dual_encoder(1.0))
    scaled = keras.optimizers.LossScaleOptimizer(optimizer(0.01))
    for of in (optimizer(0.01), scaled):
        model.compile(of, loss=SigmoidContrastiveLoss())
        for whole in (model, learner):
            config = keras.saving.serialize_keras_object(whole)
            names = set(names_in(config))
            assert "keras.optimizers" in names
            assert not [name for name in names if "backend" in name]


@pytest.mark.slow
def test_a_run_goes_on_elsewhere(tmp_path):
    # On TensorFlow, Adam leaves embeddings alone that no text had.
    model = JESTModel(make_dual_encoder(), make_dual_encoder(1.0), seed=3)
    model.learner.text_encoder.trainable = False
    model.compile(
        keras.optimizers.Adam(0.01),
        loss=SigmoidContrastiveLoss(),
        selection="joint",
    )
    fit(model, make_pool(60))
    model.save(tmp_path / "model.keras")
    recorder = Recorder(model)
    fit(model, make_pool(60, first=100))
    for backend in {"jax", "tensorflow", "torch"} - {keras.backend.backend()}:
        picks, weights = go_on(backend, tmp_path)
        assert picks == recorder.picks
        for one, other in zip(weights_of(model), weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
