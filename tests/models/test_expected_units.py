"""What is known of a model's units, and what its batches then must be."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_jest.layers import TokenEmbedding
from keras_jest.models import DualEncoder
from keras_jest.models import ImageTransformer
from keras_jest.models import SigLIP
from keras_jest.models import TextTransformer
from keras_jest.models.expected_units import check_units
from keras_jest.models.expected_units import expected_units
from keras_jest.models.units import RescaledPictures
from keras_jest.models.units import TokenIds

pytestmark = pytest.mark.once

layers = keras.layers
VOCABULARY = 11
IMAGE = {"image_size": 8, "patch_size": 4, "width": 8, "depth": 1}


def sequential(*parts):
    return keras.Sequential([*parts, layers.Flatten(), layers.Dense(2)])


def functional(*parts, shape=(8, 8, 3), dtype="float32"):
    inputs = keras.Input(shape, dtype=dtype, name="given")
    outputs = inputs
    for part in parts:
        outputs = part(outputs)
    return keras.Model(inputs, layers.Flatten()(outputs))


def nested_pictures():
    inner = functional(layers.Rescaling(1 / 255), layers.Conv2D(2, 4))
    return sequential(keras.Input((8, 8, 3)), inner)


def functional_of_two():
    """The dict has another order than the operations."""
    images = keras.Input((8, 8, 3), name="images")
    ids = keras.Input((4,), dtype="int32", name="a_text")
    texts = layers.Flatten()(layers.Embedding(VOCABULARY, 2)(ids))
    outputs = layers.Flatten()(layers.Rescaling(1 / 127.5, -1)(images))
    outputs = layers.Concatenate()([outputs, texts])
    return keras.Model({"images": images, "a_text": ids}, outputs)


RESCALING = {
    "ours": lambda: ImageTransformer(**IMAGE),
    "sequential": lambda: sequential(layers.Rescaling(1 / 127.5, -1)),
    "augmented": lambda: sequential(
        layers.RandomFlip(), layers.Resizing(8, 8), layers.Rescaling(1 / 255)
    ),
    "per channel": lambda: sequential(
        layers.Rescaling(scale=[1 / 58, 1 / 57, 1 / 57], offset=[-2, -2, -2])
    ),
    "functional": lambda: functional(layers.Rescaling(1 / 255)),
    "functional, augmented": lambda: functional(
        layers.RandomFlip(), layers.Rescaling(1 / 255)
    ),
    "nested": nested_pictures,
    "application": lambda: keras.applications.MobileNetV3Small(
        (32, 32, 3), weights=None, include_top=False, pooling="avg"
    ),
}
UNKNOWN = {
    "no rescaling": lambda: sequential(layers.Conv2D(2, 4)),
    "made for 0..1": lambda: sequential(layers.Rescaling(2.0, -1.0)),
    "made for 16 bits": lambda: sequential(layers.Rescaling(1 / 65535)),
    "functional": lambda: functional(layers.Conv2D(2, 4)),
    "unknown operation": lambda: functional(
        keras.layers.Lambda(lambda x: x * 255), layers.Rescaling(1 / 255)
    ),
    "rescaled later": lambda: sequential(
        layers.Conv2D(2, 4), layers.Rescaling(1 / 255)
    ),
}
EMBEDDING = {
    "ours": lambda: TextTransformer(VOCABULARY, 4, width=8, depth=1),
    "our layer": lambda: sequential(TokenEmbedding(VOCABULARY, 8)),
    "sequential": lambda: sequential(layers.Embedding(VOCABULARY, 8)),
    "functional": lambda: functional(
        layers.Embedding(VOCABULARY, 8), shape=(4,), dtype="int32"
    ),
}


@pytest.mark.parametrize("kind", RESCALING)
def test_a_model_that_rescales_is_known(kind):
    (unit,) = expected_units(RESCALING[kind]())
    assert isinstance(unit, RescaledPictures)


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_model_that_does_not_rescale_is_not_asked(kind):
    assert expected_units(UNKNOWN[kind]()) == [None]


@pytest.mark.parametrize("kind", EMBEDDING)
def test_a_vocabulary_is_known(kind):
    (unit,) = expected_units(EMBEDDING[kind]())
    assert unit == TokenIds(VOCABULARY, "float32")


def test_each_input_has_its_own_unit():
    model = functional_of_two()
    good = {
        "images": np.full((2, 8, 8, 3), 100.0),
        "a_text": np.full((2, 4), VOCABULARY - 1),
        "unread": np.full((2, 1), np.nan),
    }
    check_units(model, good)
    with pytest.raises(ValueError, match="images of the reference"):
        check_units(
            model, {**good, "images": good["images"] / 255}, "reference"
        )
    with pytest.raises(ValueError, match="a_text of the learner.*token id 11"):
        check_units(model, {**good, "a_text": good["a_text"] + 1}, "learner")
    again = keras.Model(model.input, layers.Dense(2)(model({**model.input})))
    with pytest.raises(ValueError, match="token id -1"):
        check_units(again, {**good, "a_text": -good["a_text"] // 10})


def test_dual_encoders_know_both_towers():
    model = SigLIP(8, 4, VOCABULARY, 4, width=8, depth=1)
    kinds = [type(unit) for unit in expected_units(model)]
    assert kinds == [RescaledPictures, TokenIds]
    model = DualEncoder(*(sequential() for _ in "ab"), input_keys=("z", "a"))
    assert expected_units(model) == [None, None]
    model = DualEncoder(
        sequential(layers.Rescaling(1 / 255)),
        sequential(layers.Embedding(VOCABULARY, 2)),
        input_keys=("z", "a"),
    )
    ids, images = np.full((2, 4), VOCABULARY), np.full((2, 8, 8, 3), 0.3)
    with pytest.raises(ValueError, match="a of the model.*token id 11"):
        check_units(model, {"a": ids, "z": images * 255})
    with pytest.raises(ValueError, match="z of the model"):
        check_units(model, {"a": ids - 1, "z": images})


pictures = st.builds(
    lambda seed, n: np.random.default_rng(seed).integers(
        0, 256, (n, 4, 4, 3), "uint8"
    ),
    st.integers(0, 2**32 - 1),
    st.integers(1, 600),
)
READY = {
    "0..1": lambda x: x / 255,
    "-1..1": lambda x: x / 127.5 - 1,
    "as CLIP's": lambda x: (x / 255 - 0.45) / 0.27,
}


@settings(max_examples=50, deadline=None)
@given(
    pictures,
    st.sampled_from(sorted(READY)),
    st.sampled_from(["float16", "float32", "float64"]),
    st.sampled_from([None, np.nan, np.inf, -np.inf]),
)
def test_float_pictures_must_be_from_0_to_255(images, ready, dtype, odd):
    """Twice rescaled ones are refused, whatever else is in the batch."""
    unit = RescaledPictures("the tower")
    floats = images.astype(dtype)
    twice = READY[ready](images.astype("float64")).astype(dtype)
    if odd is not None:
        floats[0, 0, 0, 0] = twice[0, 0, 0, 0] = odd
    unit.check(floats, "images")
    unit.check(images, "images")
    with pytest.raises(ValueError, match=f"the tower rescales.*{dtype} from"):
        unit.check(twice, "images")


def test_one_bright_picture_is_enough():
    """Among black ones, wherever it is; and dark ones may be resized."""
    images = np.zeros((100, 4, 4, 3), "float32")
    images[:, 0] = 0.25
    with pytest.raises(ValueError, match="rescales"):
        RescaledPictures("the tower").check(images, "images")
    images[71] = 30.5
    RescaledPictures("the tower").check(images, "images")
    RescaledPictures("the tower").check(images[70:73] / 10, "images")


@pytest.mark.parametrize("greatest", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_dark_pictures_are_not_refused(greatest, dtype):
    images = np.random.default_rng(0).integers(0, greatest + 1, (300, 8, 8, 3))
    RescaledPictures("the tower").check(images.astype(dtype), "images")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-3, 2 * VOCABULARY), min_size=1, max_size=9),
    st.sampled_from(["int32", "int64", "int8", "float32", "float16"]),
)
def test_ids_are_in_the_vocabulary(ids, dtype):
    rows = np.array([ids], dtype)
    unit = TokenIds(VOCABULARY)
    if min(ids) >= 0 and max(ids) < VOCABULARY:
        unit.check(rows, "token_ids")
        return
    outside = min(ids) if min(ids) < 0 else max(ids)
    text = f"token id {outside}, vocabulary_size={VOCABULARY}.*tokenizer"
    with pytest.raises(ValueError, match=text):
        unit.check(rows, "token_ids")


def test_ids_that_a_float_cannot_hold():
    with pytest.raises(ValueError, match="whole numbers.*float32 up to 3.5"):
        TokenIds(9).check(np.array([[1.0, 3.5]], "float32"), "token_ids")
    ids = np.array([[1.0, 301.0]], "float32")
    TokenIds(999).check(ids, "token_ids")
    TokenIds(999, "bfloat16").check(ids.astype("int32"), "token_ids")
    with pytest.raises(ValueError, match="embedding in bfloat16"):
        TokenIds(999, "bfloat16").check(ids, "token_ids")


def test_no_rows():
    TokenIds(9).check(np.zeros((0, 4), "int32"), "token_ids")
    RescaledPictures("it").check(np.zeros((0, 8, 8, 3), "float32"), "images")
