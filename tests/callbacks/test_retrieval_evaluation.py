"""Retrieval as training goes on."""

import keras
import numpy as np
import pytest

from keras_jest import JESTModel
from keras_jest.callbacks import RetrievalEvaluation
from keras_jest.evaluation import retrieval
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder


def make_encoder():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(6)])


@pytest.fixture
def model():
    learner = DualEncoder(make_encoder(), make_encoder())
    model = JESTModel(learner, seed=0)
    model.compile("sgd", loss=SigmoidContrastiveLoss(), selection=None)
    return model


@pytest.fixture
def arrays():
    values = np.random.default_rng(0).normal(size=(2, 24, 4))
    images, texts = values.astype("float32")
    return {"images": images, "token_ids": texts, "key": images}


def test_every_few_steps_and_at_the_end(model, arrays):
    callback = RetrievalEvaluation(arrays, ks=(1, 5), every=2)
    model.fit(arrays, batch_size=8, epochs=3, verbose=0, callbacks=[callback])
    assert [row["step"] for row in callback.history] == [2, 4, 6, 8, 9]


def test_each_epoch_with_logs_of_the_final_weights(model, arrays):
    callback = RetrievalEvaluation(arrays, ks=(1,))
    history = model.fit(
        arrays, batch_size=8, epochs=2, verbose=0, callbacks=[callback]
    ).history
    inputs = {name: arrays[name] for name in ("images", "token_ids")}
    expected = retrieval(model.learner.predict(inputs, verbose=0), ks=(1,))
    assert [row["step"] for row in callback.history] == [3, 6]
    for name, value in expected.items():
        assert history[name][-1] == value
        assert callback.history[-1][name] == value
