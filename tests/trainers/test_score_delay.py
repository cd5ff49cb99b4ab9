"""Scores made with the weights of one step ago."""

import keras
import numpy as np
import pytest
from small_models import Recorder
from small_models import assert_same_weights
from small_models import fit
from small_models import make_classifier
from small_models import make_dual_encoder
from small_models import make_labelled
from small_models import make_pool
from small_models import to_numpy

from keras_jest import ClassAct
from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest.losses import SigmoidContrastiveLoss

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
X, Y, _ = make_labelled(100)
HIGHEST = IndependentSelection(0.75, gain=float("inf"))


def make_model(score_delay=1, learning_rate=0.5, selection=HIGHEST, **kwargs):
    arguments = {
        "learner": make_classifier(),
        "online": make_classifier(2.0),
        "reference": make_classifier(1.0),
        **kwargs,
    }
    model = ClassAct(**arguments, seed=3, score_delay=score_delay)
    optimizer = keras.optimizers.SGD(learning_rate)
    model.compile(optimizer, loss=LOSS, selection=selection)
    return model


class Weights(keras.callbacks.Callback):
    """What the scorers weigh before every step."""

    def __init__(self):
        super().__init__()
        self.before = []

    def on_train_batch_begin(self, batch, logs=None):
        scorers = self.model.roles.scorers.values()
        self.before.append([of.get_weights() for of in scorers])


def losses(weights, rows):
    """Cross-entropy of a dense layer, by NumPy."""
    logits = X[rows].astype("float64") @ weights[0] + weights[1]
    log_sum = np.log(np.sum(np.exp(logits), axis=1))
    return log_sum - logits[np.arange(len(logits)), Y[rows]]


def highest(weights, rows):
    learner, reference = (losses(of, rows) for of in weights)
    return np.argsort(reference - learner)[:5].tolist()


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("train_reference", [False, True])
def test_scorers_are_one_update_behind(online, train_reference):
    kwargs = {} if online else {"online": None}
    model = make_model(train_reference=train_reference, **kwargs)
    recorder, weights = Recorder(model), Weights()
    fit(model, X, y=Y, callbacks=[weights])
    rows = [np.arange(first, first + 20) for first in range(0, 100, 20)]
    delayed = [weights.before[0], *weights.before[:-1]]
    expected = [highest(*of) for of in zip(delayed, rows, strict=True)]
    present = [highest(*of) for of in zip(weights.before, rows, strict=True)]
    assert recorder.picks == expected
    assert expected != present


def test_frozen_weights_are_scored_as_without_a_delay():
    runs = []
    for score_delay in (0, 1):
        model = make_model(score_delay, learning_rate=0.0)
        runs.append(Recorder(model))
        fit(model, X, y=Y)
    assert runs[0].picks == runs[1].picks


def test_a_restart_changes_nothing(tmp_path):
    model, through = make_model(), make_model()
    recorder = Recorder(through)
    fit(through, X, y=Y)
    fit(model, X[:40], y=Y[:40])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.score_delay == 1
    gone_on = Recorder(loaded)
    fit(loaded, X[40:], y=Y[40:])
    assert gone_on.picks == recorder.picks[2:]
    assert_same_weights(loaded.learner, through.learner)


def test_another_dataset_is_scored_with_the_weights_before_the_last_step():
    """No rows are held back: those of the old one are all trained on."""
    model = make_model()
    recorder, weights = Recorder(model), Weights()
    fit(model, X[:40], y=Y[:40], callbacks=[weights])
    fit(model, X[40:60], y=Y[40:60], callbacks=[weights], selection=None)
    fit(model, X[60:90], y=Y[60:90], batch_size=15, callbacks=[weights])
    assert len(weights.before) == 5
    assert len(recorder.picks) == 4
    learner, reference = (
        losses(of, np.arange(60, 75)) for of in weights.before[2]
    )
    highest = np.argsort(reference - learner)[:4].tolist()
    assert recorder.picks[2] == highest


class Unbuilt(keras.Model):
    def __init__(self, offset, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(3)
        self.norm = keras.layers.BatchNormalization(momentum=0.5)

    def call(self, inputs, training=None):
        return self.norm(self.dense(inputs), training=training)


def test_models_that_are_built_by_the_first_batch():
    """With statistics, which are one step behind, too."""
    keras.utils.set_random_seed(0)
    model = make_model(online=Unbuilt(2.0))
    recorder, weights = Recorder(model), Weights()
    fit(model, X[:60], y=Y[:60], callbacks=[weights])
    kernel, bias, gamma, beta, mean, variance = weights.before[1][0]
    rows = np.arange(40, 60)
    scale = gamma / np.sqrt(variance + 1e-3)
    kernel = kernel.astype("float64") * scale
    folded = [kernel, (bias - mean) * scale + beta]
    learner = losses(folded, rows)
    reference = losses(weights.before[1][1], rows)
    assert recorder.picks[2] == np.argsort(reference - learner)[:5].tolist()


def test_jest_with_a_schedule_and_scoring_in_parts():
    runs = []
    for score_delay in (0, 1):
        model = JESTModel(
            make_dual_encoder(),
            make_dual_encoder(1.0),
            seed=3,
            score_delay=score_delay,
        )
        model.compile(
            keras.optimizers.SGD(0.1),
            loss=SigmoidContrastiveLoss(),
            selection=HIGHEST,
            first_step=1,
            scoring_batch_size=8,
        )
        recorder = Recorder(model)
        fit(model, make_pool(60))
        runs.append(recorder)
    scores = [[step["scores"] for step in run.steps] for run in runs]
    assert np.isnan([of[0] for of in scores]).all()  # Uniform: no scores.
    assert not np.allclose(scores[0][1], scores[1][1])
    before = to_numpy(model.previous_weights.copies[0])
    assert not np.allclose(before, to_numpy(model.learner.weights[0]))


@pytest.mark.parametrize("score_delay", [2, -1, 0.5, None])
def test_only_the_last_step_can_be_waited_for(score_delay):
    with pytest.raises(ValueError, match=f"score_delay={score_delay}"):
        make_model(score_delay)
