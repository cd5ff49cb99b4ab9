import keras
import numpy as np
import pytest
from check_layer import check_layer
from check_layer import to_numpy

from keras_jest.models import DualEncoder
from keras_jest.models import ImageTransformer
from keras_jest.models import TextTransformer


def batch(n=3):
    random = np.random.default_rng(0)
    return {
        "images": random.integers(0, 256, (n, 8, 8, 3)).astype("uint8"),
        "token_ids": random.integers(0, 20, (n, 5)).astype("int32"),
    }


@keras.saving.register_keras_serializable("test")
class Subclass(keras.Model):
    """A tower as users write them: no build, no shapes, a dropout."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.pool = keras.layers.GlobalAveragePooling2D()
        self.dense = keras.layers.Dense(6)
        self.dropout = keras.layers.Dropout(0.5)

    def call(self, x):
        return self.dropout(self.dense(self.pool(x)))


def sequential_image():
    return keras.Sequential(
        [
            keras.layers.Rescaling(1 / 127.5, offset=-1.0),
            keras.layers.Flatten(),
            keras.layers.Dense(6),
        ]
    )


def functional_image():
    inputs = keras.Input((8, 8, 3), name="zebra")
    outputs = sequential_image()(inputs)
    return keras.Model(inputs, outputs)


def sequential_text():
    return keras.Sequential(
        [
            keras.layers.Embedding(20, 6),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )


def functional_text():
    inputs = keras.Input((5,), dtype="int32", name="aardvark")
    return keras.Model(inputs, sequential_text()(inputs))


SIZES = {"width": 8, "depth": 1, "num_heads": 2, "mlp_dim": 12}

TOWERS = {
    "sequential": (sequential_image, sequential_text),
    "functional": (functional_image, functional_text),
    "subclass": (Subclass, sequential_text),
    "transformers": (
        lambda: ImageTransformer(8, 4, **SIZES),
        lambda: TextTransformer(20, 5, embedding_dim=8, **SIZES),
    ),
}


@pytest.mark.parametrize(
    "kind",
    [
        "sequential",
        "functional",
        "subclass",
        pytest.param("transformers", marks=pytest.mark.slow),
    ],
)
def test_any_two_towers_give_pairs(kind, tmp_path):
    image, text = (make() for make in TOWERS[kind])
    model = DualEncoder(image, text)
    inputs = batch()
    pairs = to_numpy(model(inputs))
    for name, tower, key in (
        ("image_embedding", image, "images"),
        ("text_embedding", text, "token_ids"),
    ):
        raw = to_numpy(tower(inputs[key]))
        norm = np.linalg.norm(raw, axis=1, keepdims=True)
        np.testing.assert_allclose(pairs[name], raw / norm, atol=1e-5)
    np.testing.assert_allclose(pairs["logit_scale"], [10] * 3, rtol=1e-6)
    np.testing.assert_allclose(pairs["logit_bias"], [-10] * 3)

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = to_numpy(loaded(inputs))
    for name, values in pairs.items():
        np.testing.assert_allclose(again[name], values, atol=1e-6)


def test_contract(tmp_path):
    check_layer(
        lambda: DualEncoder(functional_image(), functional_text()),
        batch(),
        tmp_path,
    )


def test_extra_entries_are_neither_read_nor_misread():
    model = DualEncoder(functional_image(), functional_text())
    expected = model.predict(batch(), verbose=0)
    extra = {
        "aaa": np.full((3, 8, 8, 3), 9, "uint8"),
        "key": np.zeros((3, 4), "int32"),
    }
    got = model.predict({**extra, **batch()}, verbose=0)
    for name, values in expected.items():
        np.testing.assert_allclose(got[name], values, atol=1e-6)


def test_missing_entry():
    model = DualEncoder(sequential_image(), sequential_text())
    with pytest.raises(ValueError, match=r"\['image', 'token_ids'\]"):
        model({"image": batch()["images"], "token_ids": np.zeros((3, 5))})


def test_other_input_keys():
    model = DualEncoder(
        sequential_image(),
        sequential_text(),
        input_keys=["pixel_values", "input_ids"],
    )
    assert model.input_keys == ("pixel_values", "input_ids")
    pairs = model(
        {
            "input_ids": batch()["token_ids"],
            "pixel_values": batch()["images"],
        }
    )
    assert pairs["text_embedding"].shape == (3, 6)
    assert DualEncoder.from_config(model.get_config()).input_keys == (
        "pixel_values",
        "input_ids",
    )


@pytest.mark.parametrize(
    "policy",
    [
        "float32",
        "mixed_bfloat16",
        pytest.param("bfloat16", marks=pytest.mark.slow),
    ],
)
def test_pairs_are_float32_and_scale_and_bias_exact(policy):
    """In bfloat16 a scale of 99.7 would become 99.5."""
    model = DualEncoder(
        ImageTransformer(8, 4, **SIZES, dtype=policy),
        TextTransformer(20, 5, **SIZES, dtype=policy),
        logit_scale=99.7,
        logit_bias=-12.9,
        dtype=policy,
    )
    pairs = model(batch())
    for values in pairs.values():
        assert keras.backend.standardize_dtype(values.dtype) == "float32"
    pairs = to_numpy(pairs)
    np.testing.assert_allclose(pairs["logit_scale"], [99.7] * 3, rtol=2e-6)
    np.testing.assert_allclose(pairs["logit_bias"], [-12.9] * 3, rtol=1e-6)
    for name in ("image_embedding", "text_embedding"):
        lengths = np.linalg.norm(pairs[name].astype("float64"), axis=1)
        np.testing.assert_allclose(lengths, 1, atol=1e-6)


def test_no_bias():
    model = DualEncoder(
        sequential_image(),
        sequential_text(),
        logit_scale=1 / 0.07,
        logit_bias=None,
    )
    pairs = to_numpy(model(batch()))
    np.testing.assert_array_equal(pairs["logit_bias"], np.zeros(3))
    np.testing.assert_allclose(pairs["logit_scale"], 1 / 0.07, rtol=1e-6)
    names = [weight.name for weight in model.weights]
    assert "logit_scale" in names and "logit_bias" not in names


def test_dropout_is_off_when_scoring_and_on_when_training():
    model = DualEncoder(Subclass(), sequential_text())
    first, second, trained = (
        to_numpy(model(batch(), training=training)["image_embedding"])
        for training in (False, False, True)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, trained)


@pytest.mark.parametrize("units", [5, None])
def test_towers_of_different_widths(units):
    image = keras.Sequential(
        [keras.layers.Flatten(), keras.layers.Dense(units)]
        if units
        else [keras.layers.Dense(6)]
    )
    model = DualEncoder(image, sequential_text())
    with pytest.raises(ValueError, match="same d"):
        model(batch())


@pytest.mark.parametrize("scale", [0, -1.0])
def test_scale_must_be_positive(scale):
    with pytest.raises(ValueError, match=f"logit_scale={scale}"):
        DualEncoder(sequential_image(), sequential_text(), logit_scale=scale)
