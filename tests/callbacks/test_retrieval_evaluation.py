"""Retrieval as training goes on."""

import keras
import numpy as np
import pytest

from keras_jest import JESTModel
from keras_jest.callbacks import RetrievalEvaluation
from keras_jest.evaluation import retrieval
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder
from keras_jest.models import make_pairs
from keras_jest.models import precompute


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
    assert history["mean_recall@1"][-1] == np.mean(list(expected.values()))


@pytest.mark.once
def test_images_with_several_texts(model, arrays):
    image_of_text = np.arange(24) % 8
    few = {**arrays, "images": arrays["images"][:8]}
    callback = RetrievalEvaluation(few, ks=(5,), image_of_text=image_of_text)
    model.fit(arrays, batch_size=8, verbose=0, callbacks=[callback])
    inputs = {name: arrays[name] for name in ("images", "token_ids")}
    pairs = model.learner.predict(inputs, verbose=0)
    pairs["image_embedding"] = pairs["image_embedding"][:8]
    expected = retrieval(pairs, (5,), image_of_text)
    assert expected.items() <= callback.history[-1].items()


def make_functional():
    """A model that names its inputs and has no `input_keys`."""
    inputs = {key: keras.Input((4,), name=key) for key in ("images", "texts")}
    towers = [make_encoder()(tensor) for tensor in inputs.values()]
    return keras.Model(inputs, make_pairs(*towers, 10.0, -10.0))


def test_a_functional_model_gets_its_own_inputs(arrays):
    arrays = {
        "aaa": arrays["key"],
        "images": arrays["images"],
        "texts": arrays["token_ids"],
    }
    learner = make_functional()
    model = JESTModel(learner, seed=0)
    model.compile("sgd", loss=SigmoidContrastiveLoss(), selection=None)
    callback = RetrievalEvaluation(arrays, ks=(5,))
    model.fit(arrays, batch_size=8, verbose=0, callbacks=[callback])
    several = RetrievalEvaluation(arrays, image_of_text=np.arange(24))
    with pytest.raises(ValueError, match="are embedded apart"):
        model.fit(arrays, batch_size=8, verbose=0, callbacks=[several])
    own = {name: arrays[name] for name in ("images", "texts")}
    expected = retrieval(learner.predict(own, verbose=0), ks=(5,))
    mean = sum(expected.values()) / 2
    assert callback.history == [{"step": 3, **expected, "mean_recall@5": mean}]
    kept, _ = precompute(learner, arrays, dtype="float32", verbose=0)
    np.testing.assert_allclose(
        kept["reference_text_embedding"],
        learner.predict(own, verbose=0)["text_embedding"],
    )


def test_a_missing_input_is_told_before_the_first_step(model, arrays):
    callback = RetrievalEvaluation({"images": arrays["images"]})
    with pytest.raises(ValueError, match="token_ids"):
        model.fit(arrays, batch_size=8, verbose=0, callbacks=[callback])
    assert int(model.optimizer.iterations) == 0


@pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="torch has no steps_per_execution",
)
def test_steps_that_are_executed_together_all_count(model, arrays):
    loss = SigmoidContrastiveLoss()
    model.compile("sgd", loss=loss, selection=None, steps_per_execution=2)
    callback = RetrievalEvaluation(arrays, ks=(1,), every=3)
    model.fit(arrays, batch_size=3, epochs=2, verbose=0, callbacks=[callback])
    # Eight steps an epoch, seen two at a time.
    assert [row["step"] for row in callback.history] == [4, 6, 10, 12, 16]
    callback = RetrievalEvaluation(arrays, ks=(1,))
    model.fit(arrays, batch_size=5, epochs=2, verbose=0, callbacks=[callback])
    # Five steps an epoch, the last of them alone.
    assert [row["step"] for row in callback.history] == [5, 10]


@pytest.mark.parametrize(
    ("changed", "of_text", "message"),
    [
        ({"token_ids": np.zeros((5, 4))}, None, "'token_ids': 5"),
        ({"token_ids": np.array(["a"] * 24)}, None, "texts in ..token_ids"),
        ({}, np.arange(24) // 2, "24 images, 24 texts"),
    ],
)
def test_a_wrong_test_set_is_told_before_the_first_step(
    changed, of_text, message, model, arrays
):
    callback = RetrievalEvaluation({**arrays, **changed}, image_of_text=of_text)
    with pytest.raises(ValueError, match=message):
        model.fit(arrays, batch_size=8, verbose=0, callbacks=[callback])
    assert int(model.optimizer.iterations) == 0


@pytest.mark.once
@pytest.mark.parametrize("ks", [5, (0,), (1, -1), (1.5,), "15"])
def test_ranks_begin_at_one(ks, arrays):
    pairs = {
        "image_embedding": arrays["images"],
        "text_embedding": arrays["token_ids"],
    }
    for run in (
        lambda: RetrievalEvaluation(arrays, ks=ks),
        lambda: retrieval(pairs, ks=ks),
    ):
        with pytest.raises(ValueError, match="`ks` must be a sequence of ints"):
            run()
