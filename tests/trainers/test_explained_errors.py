"""What a newcomer hands to `fit` first, and what is said of it."""

import re

import keras
import numpy as np
import pytest
from keras import ops
from small_models import make_classifier
from small_models import make_labelled
from small_models import make_model
from small_models import make_pool
from small_models import weights_of

from keras_jest import ClassAct
from keras_jest import IndependentSelection
from keras_jest import JointSelection

POOL = make_pool()
IMAGES, IDS = POOL["images"], POOL["token_ids"]
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def loader_of(make_record):
    torch = pytest.importorskip("torch")
    records = [make_record(row) for row in range(40)]
    return torch.utils.data.DataLoader(records, batch_size=20)


DATA = {
    "a tuple": (lambda: (IMAGES, IDS), "Received: a tuple of 2"),
    "an array": (lambda: IMAGES, r"Received: an array of shape \(40, 6\)"),
    "tuples": (
        lambda: loader_of(lambda row: (IMAGES[row], IDS[row])),
        r"Received: an array of shape \(20, 6\)",
    ),
}
IN_PARTS = {
    "tuples": (
        lambda: loader_of(lambda row: (IMAGES[row], "a cat")),
        "texts in [1]",
    ),
    "a generator": (
        lambda: iter_of(POOL | {"caption": np.array(["a cat"] * 40)}),
        "str160",
    ),
}
TEXTS = {
    "strings": lambda: POOL | {"token_ids": np.array(["a cat"] * 40)},
    "a list": lambda: POOL | {"token_ids": ["a cat"] * 40},
    "objects": lambda: POOL | {"token_ids": np.array(["a"] * 40, object)},
    "a loader": lambda: loader_of(
        lambda row: {"images": IMAGES[row], "token_ids": "a cat"}
    ),
}


def iter_of(batch):
    yield (batch,)


def refused(model, x, **kwargs):
    """The one sentence that `fit` raises before anything is trained."""
    before = weights_of(model.learner)
    with pytest.raises(ValueError) as raised:
        model.fit(x, verbose=0, **kwargs)
    for old, new in zip(before, weights_of(model.learner), strict=True):
        np.testing.assert_array_equal(old, new)
    return str(raised.value)


def size_of(x):
    return {} if hasattr(x, "dataset") else {"batch_size": 20}


@pytest.mark.parametrize("kind", DATA)
def test_inputs_without_names(kind):
    make, received = DATA[kind]
    x = make()
    message = refused(make_model(), x, **size_of(x))
    assert message.startswith("The ")
    assert "by name, ['images', 'token_ids']" in message
    assert "{'images': ..., 'token_ids': ...}" in message
    assert re.search(received, message)


def test_two_arrays():
    message = refused(make_model(), IMAGES, y=IDS, batch_size=20)
    assert "targets are not needed" in message


def test_arrays_of_unequal_rows():
    message = refused(make_model(), POOL | {"token_ids": IDS[:30]})
    assert "'images': 40, 'key': 40, 'token_ids': 30" in message


def test_prediction_without_names():
    with pytest.raises(ValueError, match="^The learner takes its inputs by"):
        make_model().predict(IMAGES, verbose=0)


@pytest.mark.parametrize("kind", TEXTS)
def test_texts(kind):
    x = TEXTS[kind]()
    message = refused(make_model(), x, **size_of(x))
    assert "Received: texts in ['token_ids']" in message
    assert "keras_jest.data.Tokenizer" in message


@pytest.mark.parametrize("kind", IN_PARTS)
def test_texts_in_datasets(kind):
    make, received = IN_PARTS[kind]
    message = refused(make_model(), make())
    assert "keras_jest.data.Tokenizer" in message
    assert received in message or "texts in ['caption']" in message


@pytest.mark.parametrize(
    "kind", [kind for kind in TEXTS if "loader" not in kind]
)
def test_texts_to_evaluate_and_to_predict(kind):
    x, model = TEXTS[kind](), make_model()
    for run in (model.evaluate, model.predict, model.learner.predict):
        with pytest.raises(ValueError, match="texts in ..token_ids"):
            run(x, verbose=0)


def test_evaluation_of_unequal_rows():
    with pytest.raises(ValueError, match="'images': 40"):
        make_model().evaluate(POOL | {"token_ids": IDS[:30]}, verbose=0)


def test_a_functional_model_whose_inputs_have_no_names():
    inputs = [keras.Input((6,)), keras.Input((3,))]
    outputs = keras.layers.Dense(3)(keras.layers.Concatenate()(inputs))
    model = ClassAct(keras.Model(inputs, outputs), seed=0)
    policy = IndependentSelection(score="hard_learner")
    model.compile("sgd", loss=CROSS_ENTROPY, selection=policy)
    labels = np.zeros(40, "int32")
    message = refused(model, dict(POOL), y=labels, batch_size=20)
    assert "keras.Input(shape, name='images')" in message


@pytest.mark.parametrize(
    ("score", "shape"),
    [
        (lambda learner, reference: ops.mean(learner), "()"),
        (lambda learner, reference: 1.0, "()"),
        (lambda learner, reference: learner[:, None], "(20, 1)"),
    ],
)
@pytest.mark.parametrize("kind", [JointSelection, IndependentSelection])
def test_a_score_that_gives_rows_no_numbers(kind, score, shape):
    model = make_model(selection=kind(0.5, score=score))
    message = refused(model, POOL, batch_size=20)
    assert f"Received: shape {shape} from <lambda>" in message


def test_joint_selection_by_a_loss_of_single_examples_is_told():
    x, y, _ = make_labelled()
    with pytest.warns(UserWarning, match="Take selection='independent'"):
        model = make_model(
            make_classifier(),
            make_classifier(1.0),
            loss=CROSS_ENTROPY,
            selection="joint",
        )
    model.fit(x, y, batch_size=20, verbose=0)
