import sys

import keras
import numpy as np
import pytest
from check_layer import check_layer
from check_layer import make_with_policy
from check_layer import to_numpy

from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import HubDualEncoder
from keras_jest.models.expected_units import check_units

keras_hub = pytest.importorskip("keras_hub")

SIZES = {
    "hidden_dim": 8,
    "num_layers": 1,
    "num_heads": 2,
    "intermediate_dim": 12,
}
IMAGE = {"patch_size": 4, "image_shape": (8, 8, 3)}
TEXT = {"vocabulary_size": 20, "embedding_dim": 8, "max_sequence_length": 5}


def clip(name="CLIP", **kwargs):
    models = keras_hub.models
    return getattr(models, f"{name}Backbone")(
        getattr(models, f"{name}VisionEncoder")(**IMAGE, **SIZES),
        getattr(models, f"{name}TextEncoder")(**TEXT, **SIZES),
        projection_dim=6,
        **kwargs,
    )


def siglip(**kwargs):
    models = keras_hub.models
    return models.SigLIPBackbone(
        models.SigLIPVisionEncoder(**IMAGE, **SIZES),
        models.SigLIPTextEncoder(**TEXT, **SIZES),
        **kwargs,
    )


BACKBONES = {
    "clip": clip,
    "metaclip_2": lambda: clip("MetaCLIP2"),
    "siglip": siglip,
}


def batch(n=3):
    random = np.random.default_rng(0)
    return {
        "images": random.normal(size=(n, 8, 8, 3)).astype("float32"),
        "token_ids": random.integers(0, 20, (n, 5)).astype("int32"),
    }


@pytest.mark.parametrize("kind", BACKBONES)
def test_logits_equal_the_backbone_s(kind):
    backbone = BACKBONES[kind]()
    bias = -8.2 if kind == "siglip" else None
    model = HubDualEncoder(backbone, logit_scale=17.3, logit_bias=bias)
    inputs = batch()
    extra = {"aaa": inputs["images"] + 1, "key": np.zeros((3, 4), "int32")}
    pairs = to_numpy(model({**extra, **inputs}))
    logits = (
        pairs["logit_scale"][:, None]
        * (pairs["image_embedding"] @ pairs["text_embedding"].T)
        + pairs["logit_bias"][:, None]
    )
    expected = to_numpy(backbone(inputs)["vision_logits"])
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(pairs["logit_scale"], 17.3, rtol=1e-5)
    np.testing.assert_allclose(pairs["logit_bias"], bias or 0.0, rtol=1e-6)


@pytest.mark.parametrize(
    "kind", [pytest.param("clip", marks=pytest.mark.slow), "siglip"]
)
def test_contract(kind, tmp_path):
    check_layer(lambda: HubDualEncoder(BACKBONES[kind]()), batch(), tmp_path)


def test_head_is_left_alone_unless_told():
    model = HubDualEncoder(clip())
    pairs = to_numpy(model(batch()))
    np.testing.assert_allclose(pairs["logit_scale"], 1 / 0.07, rtol=1e-5)


@pytest.mark.parametrize("kind", BACKBONES)
def test_order_of_patches_matters(kind):
    model = HubDualEncoder(BACKBONES[kind]())
    inputs = batch()
    before = to_numpy(model(inputs)["image_embedding"])
    images = inputs["images"]
    swapped = np.concatenate([images[:, 4:], images[:, :4]], axis=1)
    after = to_numpy(model({**inputs, "images": swapped})["image_embedding"])
    assert np.abs(before - after).max() > 1e-4


def test_positions_that_are_already_there_are_kept():
    backbone = clip()
    positions = backbone.vision_encoder.embedding.position_ids
    positions.assign([[4, 3, 2, 1, 0]])
    HubDualEncoder(backbone)
    np.testing.assert_array_equal(to_numpy(positions), [[4, 3, 2, 1, 0]])


@pytest.mark.parametrize(
    "kind, scale, offset",
    [
        ("siglip", [1 / 127.5] * 3, [-1.0] * 3),
        (
            "clip",
            1 / (255 * np.array([0.26862954, 0.26130258, 0.27577711])),
            -np.array([0.48145466, 0.4578275, 0.40821073])
            / np.array([0.26862954, 0.26130258, 0.27577711]),
        ),
    ],
)
def test_integer_pictures_are_rescaled(kind, scale, offset):
    model = HubDualEncoder(BACKBONES[kind]())
    inputs = batch()
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3))
    pictures = pictures.astype("uint8")
    ready = (pictures * np.array(scale) + np.array(offset)).astype("float32")
    expected = to_numpy(model({**inputs, "images": ready}))
    got = model.predict({**inputs, "images": pictures}, verbose=0)
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], atol=1e-5)


@pytest.mark.parametrize("kind", BACKBONES)
def test_units_of_a_batch(kind):
    model = HubDualEncoder(BACKBONES[kind]())
    good = batch()
    model.predict(good, verbose=0)
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3))
    faults = {
        "as uint8": good | {"images": pictures.astype("float32")},
        "vocabulary_size=20": good | {"token_ids": good["token_ids"] + 20},
        "token id -": good | {"token_ids": good["token_ids"] - 20},
    }
    for text, wrong in faults.items():
        with pytest.raises(ValueError, match=text):
            model.predict(wrong, verbose=0)


def test_a_converter_in_a_tower():
    converter = keras_hub.layers.ImageConverter((8, 8), scale=1 / 255)
    inputs = keras.Input((8, 8, 3))
    for tower in (
        keras.Sequential([converter, keras.layers.Flatten()]),
        keras.Model(inputs, keras.layers.Flatten()(converter(inputs))),
    ):
        with pytest.raises(ValueError, match="'image_converter' rescales"):
            check_units(tower, np.full((2, 8, 8, 3), 0.5))
        check_units(tower, np.full((2, 8, 8, 3), 127.5))


def test_a_row_of_zeros_gives_no_nan():
    backbone = siglip()
    backbone.set_weights([0 * w for w in backbone.get_weights()])
    pairs = to_numpy(HubDualEncoder(backbone)(batch()))
    np.testing.assert_array_equal(pairs["image_embedding"], np.zeros((3, 8)))


def test_scale_is_not_read_in_bfloat16():
    model = make_with_policy(
        lambda: HubDualEncoder(siglip(), logit_scale=99.7, logit_bias=-12.9),
        "mixed_bfloat16",
    )
    assert model.backbone.compute_dtype == "bfloat16"
    pairs = to_numpy(model(batch()))
    np.testing.assert_allclose(pairs["logit_scale"], 99.7, rtol=1e-5)
    np.testing.assert_allclose(pairs["logit_bias"], -12.9, rtol=1e-6)


def test_clip_has_no_bias():
    with pytest.raises(ValueError, match="logit_bias=-10"):
        HubDualEncoder(clip(), logit_bias=-10)


def test_other_models_are_refused():
    with pytest.raises(ValueError, match="Received: Sequential"):
        HubDualEncoder(keras.Sequential([keras.layers.Dense(2)]))


def test_scale_and_bias_come_back_from_a_file(tmp_path):
    model = HubDualEncoder(siglip(), logit_scale=17.3, logit_bias=-8.2)
    expected = to_numpy(model(batch()))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    pairs = to_numpy(again(batch()))
    for name in expected:
        np.testing.assert_array_equal(pairs[name], expected[name])
    # The weights of a file would hide what the configuration lost.
    fresh = HubDualEncoder.from_config(model.get_config())
    pairs = to_numpy(fresh(batch()))
    # The logarithm of the scale is stored: 2.9, rounded to 24 bits.
    np.testing.assert_allclose(pairs["logit_scale"], 17.3, rtol=1e-6)
    # Rounded itself, by at most 6e-8 of it.
    np.testing.assert_allclose(pairs["logit_bias"], -8.2, rtol=1e-7)


@pytest.mark.slow
def test_two_of_them_are_learner_and_reference():
    """Keras gives their variables equal paths, and torch minds that."""
    learner, reference = (HubDualEncoder(siglip()) for _ in range(2))
    for number, weight in enumerate(reference.trainable_weights):
        weight.assign(weight + 0.01 * (number % 3))
    plain = HubDualEncoder(siglip())
    plain.set_weights(learner.get_weights())
    before = [to_numpy(weight) for weight in reference.weights]
    losses = []
    for encoder, other in ((learner, reference), (plain, None)):
        model = JESTModel(encoder, other, seed=0)
        model.compile(
            keras.optimizers.SGD(0.05),
            loss=SigmoidContrastiveLoss(),
            # All rows are kept, and yet both models score them.
            selection=IndependentSelection(0.0) if other else None,
        )
        logs = [
            model.train_on_batch(batch(8), return_dict=True) for _ in range(3)
        ]
        losses.append([float(of_step["loss"]) for of_step in logs])
    # Eight losses of three steps, summed in another order in 24 bits.
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert losses[0][2] < losses[0][0]
    for weight, old in zip(reference.weights, before, strict=True):
        np.testing.assert_array_equal(to_numpy(weight), old)


def test_missing_keras_hub_is_told(monkeypatch):
    config = HubDualEncoder(siglip()).get_config()
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ImportError, match=r"keras-jest\[hub\]"):
        HubDualEncoder.from_config(config)


def freeze_tower(backbone):
    backbone.vision_encoder.trainable = False


def adapt_attention(backbone):
    """As keras-hub's own `enable_lora` does."""
    backbone.enable_lora(2)


def quantize_tower(backbone):
    """One alone: keras-hub gives layers of both the same path, and refuses."""
    backbone.vision_encoder.quantize("int8")


def freeze_in_attention(backbone):
    layer = next(
        layer
        for layer in backbone._flatten_layers()
        if isinstance(layer, keras.layers.EinsumDense)
    )
    layer.trainable = False


@pytest.mark.parametrize("kind", ["clip", "siglip"])
@pytest.mark.parametrize(
    "change",
    [
        freeze_tower,
        freeze_in_attention,
        adapt_attention,
        pytest.param(quantize_tower, marks=pytest.mark.slow),
    ],
)
def test_what_was_done_to_a_backbone_comes_back(kind, change, tmp_path):
    model = HubDualEncoder(BACKBONES[kind]())
    change(model.backbone)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one, other in zip(model.weights, loaded.weights, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        assert one.trainable == other.trainable
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))
    pairs, expected = (to_numpy(of(batch())) for of in (loaded, model))
    # Equal weights; of unit length, with a few float32 roundings of 6e-8.
    for name, value in expected.items():
        np.testing.assert_allclose(pairs[name], value, atol=1e-6)
