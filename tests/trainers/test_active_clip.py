"""Pairs are chosen by themselves, by small image-text models."""

import keras
import numpy as np
import pytest
from small_models import Recorder
from small_models import assert_same_weights
from small_models import cut
from small_models import fit
from small_models import make_dual_encoder
from small_models import make_pool
from small_models import make_towers
from small_models import set_weights_by_formula
from small_models import take
from small_models import to_numpy

from keras_jest import ActiveCLIP
from keras_jest import IndependentSelection
from keras_jest.losses import OwnSimilarityLoss
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.losses import SoftmaxContrastiveLoss
from keras_jest.models import DualEncoder
from keras_jest.models import make_pairs

GREEDY = IndependentSelection(sub_batch_size=5, gain=float("inf"))


def own_similarities(model, pool, gain=None):
    pairs = {key: to_numpy(of) for key, of in model(pool).items()}
    scale = pairs["logit_scale"] if gain is None else gain
    return scale * np.sum(
        pairs["image_embedding"] * pairs["text_embedding"], axis=1
    )


@pytest.mark.parametrize("gain", [None, 3.0])
def test_the_best_known_to_the_reference_alone_are_kept(gain):
    online, reference = make_dual_encoder(2.0), make_dual_encoder(1.0)
    model = ActiveCLIP(make_dual_encoder(), online, reference, seed=0)
    model.compile("sgd", selection=GREEDY, score_loss=OwnSimilarityLoss(gain))
    pool = make_pool(20)
    scores = own_similarities(reference, pool, gain) - own_similarities(
        online, pool, gain
    )
    recorder = Recorder(model)
    fit(model, pool)
    assert recorder.picks == [np.argsort(-scores)[:5].tolist()]
    np.testing.assert_allclose(
        recorder.steps[0]["scores"], np.sort(scores)[::-1][:5], atol=1e-5
    )


def test_half_of_each_super_batch_by_default():
    models = (make_dual_encoder(offset) for offset in (0.0, 2.0, 1.0))
    model = ActiveCLIP(*models, seed=0)
    model.compile("sgd")
    recorder = Recorder(model)
    fit(model, make_pool())
    assert [len(picks) for picks in recorder.picks] == [10, 10]


@pytest.mark.parametrize(
    "loss", [SoftmaxContrastiveLoss(), SigmoidContrastiveLoss()]
)
def test_learner_and_online_model_train_on_the_picks(loss):
    models = [make_dual_encoder(offset) for offset in (0.0, 2.0, 1.0)]
    model = ActiveCLIP(*models, seed=0)
    optimizer = keras.optimizers.SGD(0.1)
    model.compile(optimizer, loss=loss, selection=GREEDY)
    recorder = Recorder(model)
    pool = make_pool()
    fit(model, pool)
    for trained, offset in ((model.learner, 0.0), (model.online, 2.0)):
        plain = ActiveCLIP(make_dual_encoder(offset))
        plain.compile(keras.optimizers.SGD(0.1), loss=loss, selection=None)
        for batch, picks in zip(cut(pool, 20), recorder.picks, strict=True):
            plain.train_on_batch(take(batch, np.array(picks)))
        assert_same_weights(trained, plain.learner, rtol=1e-5, atol=1e-6)


def test_scorers_of_smaller_pictures_and_other_tokens():
    """As if the pool held what the scorers see under the usual names."""
    names = ("small_images", "other_ids")

    def scorer(offset, input_keys=("images", "token_ids")):
        model = DualEncoder(*make_towers(), input_keys=input_keys)
        shapes = dict(zip(input_keys, ((None, 6), (None, 3)), strict=True))
        model.build(shapes)
        set_weights_by_formula(model, offset)
        return model

    pool, seen = make_pool(), make_pool(first=50)
    both = {**pool, names[0]: seen["images"], names[1]: seen["token_ids"]}
    model = ActiveCLIP(
        make_dual_encoder(), scorer(2.0, names), scorer(1.0, names), seed=0
    )
    expected = ActiveCLIP(scorer(5.0), scorer(2.0), scorer(1.0), seed=0)
    picks = []
    for each, data in ((model, both), (expected, seen)):
        each.compile("sgd", selection=GREEDY)
        recorder = Recorder(each)
        fit(each, data)
        picks.append(recorder.picks)
    assert picks[0] == picks[1]
    with pytest.raises(ValueError, match=r"needs inputs .*'small_images'"):
        fit(model, pool)


@pytest.mark.parametrize("gain", [None, 2.0])
def test_own_similarity_loss(gain):
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(2, 7, 4))
    pairs = make_pairs(images, texts, 12.0, -3.0)
    for rows in (images, texts):
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = -(gain or 12.0) * np.sum(images * texts, axis=1)
    loss = OwnSimilarityLoss(gain)
    np.testing.assert_allclose(
        to_numpy(loss.call((), pairs)), expected, rtol=1e-5, atol=1e-5
    )
    assert OwnSimilarityLoss.from_config(loss.get_config()).gain == gain


def test_a_saved_model_selects_the_same(tmp_path):
    models = [make_dual_encoder(offset) for offset in (0.0, 2.0, 1.0)]
    model = ActiveCLIP(*models, seed=0)
    model.compile("sgd")
    fit(model, make_pool())
    model.save(tmp_path / "model.keras")
    picks = []
    for each in (model, keras.saving.load_model(tmp_path / "model.keras")):
        recorder = Recorder(each)
        fit(each, make_pool())
        picks.append(recorder.picks)
    assert picks[0] == picks[1]
