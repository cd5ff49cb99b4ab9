import keras
import numpy as np
import numpy_transformer
import pytest
from check_layer import check_layer
from check_layer import fill_by_formula
from check_layer import to_numpy

from keras_jest.models import ImageTransformer
from keras_jest.models import SigLIP
from keras_jest.models import TextTransformer

SIZES = {"width": 8, "depth": 2, "num_heads": 2, "mlp_dim": 12}
CONFIG = {
    "image_size": 8,
    "patch_size": 4,
    "vocabulary_size": 20,
    "sequence_length": 5,
    **SIZES,
}


def batch(n=3):
    random = np.random.default_rng(0)
    return {
        "images": random.integers(0, 256, (n, 8, 8, 3)).astype("uint8"),
        "token_ids": random.integers(0, 20, (n, 5)).astype("int32"),
    }


@pytest.fixture
def on_paper():
    """Makes the published sizes: weights with shapes, without values.

    Keras would give them values, many gigabytes, when the next model is
    built, so it is made to forget them.
    """
    with keras.StatelessScope(initialize_variables=False):
        yield SigLIP.from_variant
    keras.utils.clear_session()


def test_contract(tmp_path):
    check_layer(lambda: SigLIP(**CONFIG), batch(), tmp_path)


def test_equals_numpy():
    """The same weights, by formula, give the same pairs on all backends."""
    model = SigLIP(**CONFIG)
    fill_by_formula(model)
    model.log_logit_scale.assign(np.log(13.0))
    model.logit_bias.assign(-7.0)
    inputs = batch()
    pairs = to_numpy(model(inputs))
    raw_images = numpy_transformer.image_transformer(
        numpy_transformer.weights_of(model.image_encoder),
        CONFIG["depth"],
        inputs["images"],
    )
    raw_texts = numpy_transformer.text_transformer(
        numpy_transformer.weights_of(model.text_encoder),
        CONFIG["depth"],
        inputs["token_ids"],
    )
    for name, raw in (("image", raw_images), ("text", raw_texts)):
        np.testing.assert_allclose(
            pairs[f"{name}_embedding"],
            numpy_transformer.unit_rows(raw),
            atol=1e-5,
        )
    np.testing.assert_allclose(pairs["logit_scale"], 13, rtol=1e-6)
    np.testing.assert_allclose(pairs["logit_bias"], -7)


@pytest.mark.parametrize(
    "variant, image_size, sequence_length, millions",
    [
        ("B/16", 224, 64, (92.9, 110.3, 203.2)),
        ("L/16", 256, 64, (316.0, 336.2, 652.2)),
        ("So400m/14", 224, 16, (427.7, 449.7, 877.4)),
        ("So400m/14", 384, 64, (428.2, 449.7, 878.0)),
    ],
)
def test_parameters_of_the_published_sizes(
    on_paper, variant, image_size, sequence_length, millions
):
    model = on_paper(
        variant, image_size=image_size, sequence_length=sequence_length
    )
    counts = [
        part.count_params() / 1e6
        for part in (model.image_encoder, model.text_encoder, model)
    ]
    np.testing.assert_allclose(counts, millions, atol=0.051)
    assert (
        model.count_params()
        - sum(
            tower.count_params()
            for tower in (model.image_encoder, model.text_encoder)
        )
        == 2
    )


@pytest.mark.parametrize(
    "variant, image_size, length, image_gflop, text_gflop",
    [
        ("B/16", 256, 64, 46.82, 11.02),
        ("B/32", 256, 16, 11.49, 2.73),
        ("B/16", 224, 64, 35.42, 11.02),
        ("B/32", 224, 64, 8.77, 11.02),
        ("L/16", 256, 64, 162.56, 39.06),
        ("L/32", 256, 64, 39.75, 39.06),
        ("So400m/14", 224, 64, 220.35, None),
    ],
)
def test_forward_flops(
    on_paper, variant, image_size, length, image_gflop, text_gflop
):
    model = on_paper(variant, image_size=image_size, sequence_length=length)
    image = model.image_encoder.forward_flops
    text = model.text_encoder.forward_flops
    assert round(image / 1e9, 2) == image_gflop
    assert text_gflop is None or round(text / 1e9, 2) == text_gflop
    assert model.forward_flops == image + text


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_uint8_and_float_pictures_are_the_same(policy):
    model = SigLIP(**CONFIG, dtype=policy)
    assert model.image_encoder.compute_dtype == model.compute_dtype
    inputs = batch()
    floats = {**inputs, "images": inputs["images"].astype("float32")}
    expected = model.predict(inputs, verbose=0)
    got = model.predict(floats, verbose=0)
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], atol=1e-6)


def test_padding_is_seen_and_the_last_position_is_read():
    tower = TextTransformer(20, 5, **SIZES)
    token_ids = batch()["token_ids"]
    before = to_numpy(tower(token_ids))
    for position in range(5):
        changed = token_ids.copy()
        changed[:, position] = (changed[:, position] + 1) % 20
        assert (np.abs(to_numpy(tower(changed)) - before) > 1e-7).any()
    flat = TextTransformer(20, 5, **{**SIZES, "depth": 0})
    before = to_numpy(flat(token_ids))
    changed = token_ids.copy()
    changed[:, :4] = 0
    np.testing.assert_allclose(to_numpy(flat(changed)), before, atol=1e-6)


def test_order_of_patches_matters():
    tower = ImageTransformer(8, 4, **SIZES)
    images = batch()["images"]
    swapped = np.concatenate([images[:, 4:], images[:, :4]], axis=1)
    difference = to_numpy(tower(images)) - to_numpy(tower(swapped))
    assert np.abs(difference).max() > 1e-3


def test_defaults_follow_the_width(on_paper):
    tower = ImageTransformer(8, 4, width=128, depth=1)
    assert (tower.num_heads, tower.mlp_dim) == (2, 512)
    tower = TextTransformer(20, 5, width=32, depth=1)
    assert (tower.num_heads, tower.mlp_dim) == (1, 128)


@pytest.mark.once
def test_weight_decay_on_kernels_only():
    """What the docstring says: `exclude_from_weight_decay` by name."""
    model = SigLIP(**CONFIG)
    optimizer = keras.optimizers.AdamW(1.0, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.variables if v.name != "kernel"]
    )
    variables = model.trainable_variables
    before = [to_numpy(v) for v in variables]
    optimizer.apply([0.0 * v for v in variables], variables)
    num_kernels = 0
    for old, variable in zip(before, variables, strict=True):
        decayed = variable.path.endswith("/kernel")
        num_kernels += decayed
        expected = 0.5 * old if decayed else old
        np.testing.assert_allclose(to_numpy(variable), expected, atol=1e-7)
    # Per block 4 + 2; patches, pooling 4 + 2; the text tower's head.
    assert num_kernels == 4 * 6 + 1 + 6 + 1


def test_saved_model_keeps_its_own_mixed_precision(tmp_path):
    model = SigLIP(**CONFIG, dtype="mixed_bfloat16", logit_bias=None)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, SigLIP)
    assert loaded.image_encoder.compute_dtype == "bfloat16"
    assert loaded.initial_logit_bias is None
    expected = to_numpy(model(batch()))
    for name, values in to_numpy(loaded(batch())).items():
        np.testing.assert_array_equal(values, expected[name])


def test_towers_can_be_saved_alone(tmp_path):
    model = SigLIP(**CONFIG)
    model.image_encoder.save(tmp_path / "tower.keras")
    tower = keras.saving.load_model(tmp_path / "tower.keras")
    images = batch()["images"]
    np.testing.assert_allclose(
        to_numpy(tower(images)),
        to_numpy(model.image_encoder(images)),
        atol=1e-6,
    )


@pytest.mark.parametrize("variant", ["B", "B/", "Z/16", "16/B", "B/16/2", ""])
def test_unknown_variant(variant):
    with pytest.raises(ValueError, match="such as 'B/16'"):
        SigLIP.from_variant(variant)


def test_pictures_of_another_size():
    model = SigLIP(**CONFIG)
    inputs = batch()
    inputs["images"] = np.zeros((3, 16, 16, 3), "uint8")
    with pytest.raises(ValueError, match="16, 16"):
        model(inputs)
