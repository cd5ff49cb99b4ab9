"""Batches in wrong units are refused before the first step."""

import keras
import numpy as np
import pytest
from small_models import Recorder
from small_models import make_labelled
from small_models import make_pool
from small_models import weights_of
from test_data_loaders import KINDS

from keras_jest import ActiveCLIP
from keras_jest import ClassAct
from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest import UniformSelection
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder

VOCABULARY = 17
KEEP_FIVE = IndependentSelection(sub_batch_size=5)


class TrainedAlone(DualEncoder):
    """Without a `JESTModel`: Keras itself wants a loss for each output."""

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        return SigmoidContrastiveLoss()((), y_pred)


def make_encoder(vocabulary=VOCABULARY, rescaling=1 / 255, make=DualEncoder):
    images = [keras.Input((6,)), keras.layers.Dense(4)]
    texts = [
        keras.Input((3,), dtype="int32"),
        keras.layers.Embedding(vocabulary, 4),
        keras.layers.GlobalAveragePooling1D(),
    ]
    if rescaling:
        images.insert(1, keras.layers.Rescaling(rescaling))
    model = make(keras.Sequential(images), keras.Sequential(texts))
    model.build({"images": (None, 6), "token_ids": (None, 3)})
    return model


def good_pool(num_rows=47):
    pool = make_pool(num_rows)
    return pool | {"images": 127.5 * (1 + pool["images"])}


def too_large_id(pool):
    ids = pool["token_ids"].copy()
    ids[5, 1] = VOCABULARY
    return pool | {"token_ids": ids}


def negative_id(pool):
    ids = pool["token_ids"].copy()
    ids[5, 1] = -3
    return pool | {"token_ids": ids}


def rescaled(pool):
    return pool | {"images": pool["images"] / 255}


FAULTS = {
    too_large_id: "token_ids of the {}.*token id 17, vocabulary_size=17",
    negative_id: "token_ids of the {}.*token id -3, vocabulary_size=17",
    rescaled: "rescales images of the {}.*float32 from .* to 0.99",
}


def compiled(model, selection=KEEP_FIVE, is_plain=False, rate=0.1, **kwargs):
    if not is_plain:
        kwargs |= {"loss": SigmoidContrastiveLoss(), "selection": selection}
    model.compile(keras.optimizers.SGD(rate), **kwargs)
    return model


@pytest.fixture(scope="module")
def model():
    return compiled(JESTModel(make_encoder(), make_encoder(), seed=0))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_dataset_is_checked(kind, fault, model):
    """Nothing is trained, and the model can go on with other data."""
    before, draws = weights_of(model.learner), int(model.draws)
    kwargs = {"batch_size": 20} if kind.__name__ == "arrays" else {}
    with pytest.raises(ValueError, match=FAULTS[fault].format("learner")):
        model.fit(kind(fault(good_pool())), shuffle=False, verbose=0, **kwargs)
    for old, new in zip(before, weights_of(model.learner), strict=True):
        np.testing.assert_array_equal(old, new)
    assert int(model.draws) == draws


@pytest.mark.parametrize("is_plain", [True, False])
def test_no_batch_is_lost(is_plain):
    """Where Keras takes several at a time; one is what all tests take."""
    model = make_encoder(make=TrainedAlone)
    if not is_plain:
        model = JESTModel(model)
    steps = 1 if keras.backend.backend() == "torch" else 2
    # Nothing is learnt, so that all runs have the same losses.
    compiled(model, None, is_plain, rate=0.0, steps_per_execution=steps)
    pool = good_pool(50)
    rows = [slice(first, first + 10) for first in range(0, 50, 10)]
    losses = [
        model.test_on_batch({name: of[part] for name, of in pool.items()})
        for part in rows
    ]
    pairs = model.predict(pool, batch_size=10, verbose=0)
    assert len(pairs["logit_scale"]) == 50
    for _ in range(2):
        loss = model.evaluate(pool, batch_size=10, verbose=0)
        # Some 100 float32 terms of 6e-8 each, added in another order.
        np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-5)
        model.fit(pool, batch_size=10, verbose=0)
    assert int(model.optimizer.iterations) == 2 * 5


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("is_plain", [True, False])
def test_evaluation_prediction_and_single_batches(fault, is_plain, model):
    """Also of a model that is trained without selection, by Keras alone."""
    name = "learner"
    if is_plain:
        model = compiled(make_encoder(make=TrainedAlone), is_plain=True)
        name = f"model '{model.name}'"
    pool, before = fault(good_pool(20)), weights_of(model)
    calls = [
        lambda: model.fit(pool, verbose=0),
        lambda: model.evaluate(pool, verbose=0),
        lambda: model.predict(pool, verbose=0),
        lambda: model.train_on_batch(pool),
        lambda: model.test_on_batch(pool),
        lambda: model.predict_on_batch(pool),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=FAULTS[fault].format(name)):
            call()
        for old, new in zip(before, weights_of(model), strict=True):
            np.testing.assert_array_equal(old, new)
    model.predict(good_pool(20), verbose=0)


def test_validation_data_are_checked(model):
    with pytest.raises(ValueError, match="token id 17"):
        model.fit(
            good_pool(20),
            batch_size=20,
            verbose=0,
            validation_data=(too_large_id(good_pool(20)),),
        )


SMALL = {"vocabulary": VOCABULARY - 1}


@pytest.mark.parametrize(
    "make, role",
    [
        (lambda: JESTModel(make_encoder(), make_encoder(**SMALL)), "reference"),
        (
            lambda: ActiveCLIP(
                make_encoder(), make_encoder(**SMALL), make_encoder()
            ),
            "online model",
        ),
        (
            lambda: ActiveCLIP(
                make_encoder(), make_encoder(), make_encoder(**SMALL)
            ),
            "reference",
        ),
    ],
)
def test_each_model_that_looks_is_asked(make, role):
    model = compiled(make())
    with pytest.raises(ValueError, match=f"{role}.*vocabulary_size=16"):
        model.fit(good_pool(20), batch_size=20, verbose=0)
    if role == "reference":  # That of a model that is not asked may differ.
        model.fit(
            good_pool(20),
            batch_size=20,
            verbose=0,
            selection=UniformSelection(sub_batch_size=5),
        )


def test_without_selection(model):
    with pytest.raises(ValueError, match="learner.*token id 17"):
        model.fit(too_large_id(good_pool()), selection=None, verbose=0)


def test_inputs_that_are_no_dict():
    def classifier():
        return keras.Sequential(
            [
                keras.Input((6,)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Dense(3),
            ]
        )

    model = ClassAct(classifier(), classifier(), classifier())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss)
    x, y, weight = make_labelled()
    with pytest.raises(
        ValueError, match="input 0 of the learner.*from -1 to 0.99"
    ):
        model.fit(x, y, sample_weight=weight, verbose=0)
    model.evaluate(127.5 * (1 + x), y, verbose=0)


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_a_tower_made_for_other_pictures_is_not_asked(scale):
    model = compiled(JESTModel(make_encoder(rescaling=None)), None)
    pool = good_pool(20)
    model.evaluate(pool | {"images": pool["images"] / scale}, verbose=0)


def test_a_generator_is_read_once(model):
    batches = iter([good_pool(20), too_large_id(good_pool(20))])
    recorder = Recorder(model)
    model.fit(((batch,) for batch in batches), steps_per_epoch=1, verbose=0)
    model.recorder = None
    assert len(recorder.steps) == 1


@pytest.mark.parametrize("task", ["predict", "encode_images"])
def test_data_without_a_batch_leave_the_weights(task):
    """On JAX Keras takes them from a model before it looks for a batch."""
    model = make_encoder()
    before = weights_of(model)

    class Nothing(keras.utils.PyDataset):
        def __len__(self):
            return 0

    with pytest.raises(Exception):  # noqa: B017
        getattr(model, task)(Nothing(), verbose=0)
    for old, new in zip(before, weights_of(model), strict=True):
        np.testing.assert_array_equal(old, new)
