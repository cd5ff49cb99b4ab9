"""When coarse and fine scores are compared, and what the logs say of it."""

import keras
import pytest

from keras_jest.callbacks import RankAgreement


class Scoring(keras.Model):
    """A model that says how often it was asked."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.asked = 0

    def call(self, inputs):
        return self.dense(inputs)

    def compare_scores(self, super_batch):
        assert super_batch == "batch"
        self.asked += 1
        return {"rank_agreement": 0.1 * self.asked, "equal_picks": 0.5}


def run(callback, epochs, steps=3):
    model = Scoring()
    model.compile("sgd", loss="mse")
    x = keras.ops.ones((2 * steps, 2))
    return model.fit(
        x,
        x[:, :1],
        batch_size=2,
        epochs=epochs,
        verbose=0,
        callbacks=[callback],
    ).history


def test_every_so_many_steps():
    callback = RankAgreement("batch", every=2)
    logs = run(callback, epochs=2)
    assert [of["step"] for of in callback.history] == [0, 2, 4, 6]
    assert logs["rank_agreement"] == pytest.approx([0.2, 0.4])
    assert logs["equal_picks"] == [0.5, 0.5]
    again = RankAgreement("batch", every=2)
    again.set_state(callback.get_state())
    assert again.history == callback.history


def test_what_is_refused():
    with pytest.raises(ValueError, match="every=0"):
        RankAgreement("batch", every=0)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    x = keras.ops.ones((2, 2))
    callbacks = [RankAgreement("batch")]
    with pytest.raises(ValueError, match="must be a `keras_jest.FlexiJEST`"):
        model.fit(x, x[:, :1], verbose=0, callbacks=callbacks)
