"""Zero-shot classification as training goes on."""

import keras
import numpy as np
import pytest

from keras_jest import JESTModel
from keras_jest.callbacks import ZeroShotEvaluation
from keras_jest.evaluation import ZeroShotClassifier
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder

NAMES = ["cat", "dog", "owl", "bee", "ant"]
TEMPLATES = ["a photo of a {}.", "{}"]


def tokenizer(captions):
    return [list(of.ljust(20).encode()[:20]) for of in captions]


@pytest.fixture
def model():
    images = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6)])
    texts = keras.Sequential(
        [
            keras.Input((20,), dtype="int32"),
            keras.layers.Embedding(128, 6, "normal"),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )
    model = JESTModel(DualEncoder(images, texts), seed=0)
    model.compile("sgd", loss=SigmoidContrastiveLoss(), selection=None)
    return model


@pytest.fixture
def pool():
    random = np.random.default_rng(0)
    return {
        "images": random.normal(size=(24, 4)).astype("float32"),
        "token_ids": random.integers(0, 128, (24, 20)).astype("int32"),
    }


@pytest.fixture
def data(pool):
    return pool["images"], np.arange(24) % 5


def fit(model, pool, *callbacks, **kwargs):
    kwargs = {"batch_size": 8, "verbose": 0, "epochs": 2, **kwargs}
    return model.fit(pool, callbacks=list(callbacks), **kwargs).history


def test_each_epoch_with_logs_of_the_final_weights(model, pool, data):
    callback = ZeroShotEvaluation(data, tokenizer, NAMES, TEMPLATES)
    images, labels = data
    batches = keras.utils.PyDataset  # Read again and again.

    class Batches(batches):
        def __len__(self):
            return 3

        def __getitem__(self, number):
            rows = slice(8 * number, 8 * number + 8)
            return images[rows], labels[rows]

    other = ZeroShotEvaluation(
        Batches(), tokenizer, NAMES[:4] + ["ape"], TEMPLATES, prefix="of_apes_"
    )
    history = fit(model, pool, callback, other)
    classifier = ZeroShotClassifier(model.learner, tokenizer, NAMES, TEMPLATES)
    expected = classifier.evaluate(*data, verbose=0)
    assert callback.history[-1] == {"step": 6, **expected}
    assert [row["step"] for row in callback.history] == [3, 6]
    assert sorted(expected) == sorted(callback.logged_names)
    for name, value in expected.items():
        assert history[name][-1] == value
        assert len(history[f"of_apes_{name}"]) == 2


def test_every_few_steps_and_at_the_end(model, pool, data):
    callback = ZeroShotEvaluation(data, tokenizer, NAMES[:2], TEMPLATES, 2)
    callback.data = data[0], np.arange(24) % 2
    history = fit(model, pool, callback)
    assert [row["step"] for row in callback.history] == [2, 4, 6]
    assert "acc1" not in history
    # Five of two classes are no measure.
    names = {"step", "acc1", "mean_per_class_recall"}
    assert set(callback.history[0]) == names
    assert set(callback.names) == names - {"step"}


def test_what_makes_no_sense_is_told_before_the_first_step(model, pool, data):
    for changed, message in (
        ({"data": iter([data])}, "an iterator of type"),
        ({"every": 0}, "every=0"),
        ({"templates": ["a photo"]}, "a photo"),
    ):
        arguments = {"data": data, "templates": TEMPLATES, **changed}
        with pytest.raises(ValueError, match=message):
            ZeroShotEvaluation(
                tokenizer=tokenizer, class_names=NAMES, **arguments
            )
    callback = ZeroShotEvaluation(data, str.split, NAMES, TEMPLATES)
    with pytest.raises(ValueError, match="The tokenizer split"):
        fit(model, pool, callback)
    assert int(model.optimizer.iterations) == 0


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images, labels: (images, labels + 1), "such as 5"),
        (lambda images, labels: (images, labels / 2), "dtype float64"),
        (lambda images, labels: (images,), "a tuple of 1"),
        (lambda images, labels: [images, labels], "a list of 2"),
    ],
)
def test_wrong_data_are_told_before_the_first_step(
    change, message, model, pool, data
):
    with pytest.raises(ValueError, match=message):
        fit(
            model,
            pool,
            ZeroShotEvaluation(change(*data), tokenizer, NAMES, TEMPLATES),
        )
    assert int(model.optimizer.iterations) == 0
