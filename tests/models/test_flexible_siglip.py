"""A SigLIP that sees patches of several sizes with the same weights.

What its patches become is tested on all backends with the layer.
"""

import keras
import numpy as np
import numpy_transformer
import pytest
from check_layer import check_layer
from check_layer import fill_by_formula
from check_layer import to_numpy
from numpy_resizing import resized_kernel
from numpy_resizing import resized_positions
from on_backend import started_soon

from keras_jest import JESTModel
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder
from keras_jest.models import ImageTransformer
from keras_jest.models import SigLIP

SIZES = {"width": 8, "depth": 1, "num_heads": 2, "mlp_dim": 12}
CONFIG = {
    "image_size": 8,
    "patch_size": 4,
    "vocabulary_size": 20,
    "sequence_length": 5,
    **SIZES,
}


def make(patch_sizes=(2, 4, 8), **kwargs):
    model = SigLIP(**{**CONFIG, **kwargs}, patch_sizes=patch_sizes)
    fill_by_formula(model)
    return model


def batch(n=3):
    random = np.random.default_rng(0)
    return {
        "images": random.integers(0, 256, (n, 8, 8, 3)).astype("uint8"),
        "token_ids": random.integers(0, 20, (n, 5)).astype("int32"),
    }


def assert_equal(tree, expected):
    keras.tree.map_structure(
        np.testing.assert_array_equal, to_numpy(tree), to_numpy(expected)
    )


@pytest.mark.once
def test_contract(tmp_path):
    check_layer(lambda: SigLIP(**CONFIG, patch_sizes=(4, 8)), batch(), tmp_path)


def test_equals_numpy_at_another_size():
    """One token: all parts but the patches take any number."""
    tower = make().image_encoder
    images = batch()["images"]
    weights = numpy_transformer.weights_of(tower)
    kernel = resized_kernel(weights["embedding/projection/kernel"], 8)
    positions = resized_positions(
        weights["embedding/position_embedding"], (2, 2), (1, 1)
    )
    expected = numpy_transformer.image_transformer(
        {
            **weights,
            "embedding/projection/kernel": kernel,
            "embedding/position_embedding": positions,
        },
        SIZES["depth"],
        images,
    )
    embed = started_soon(lambda images: tower(images, patch_size=8))
    # Embeddings near 1, of a few layers of float32 sums.
    np.testing.assert_allclose(to_numpy(embed(images)), expected, atol=2e-5)


@pytest.mark.once
def test_its_own_size_holds_when_none_is_asked_for():
    model, inputs = make(), batch()
    own = model(inputs, patch_size=4)
    assert_equal(model(inputs), own)
    predicted = model.predict(inputs, verbose=0)
    for name, values in to_numpy(own).items():
        # Compiled, sums may be taken in another order.
        np.testing.assert_allclose(predicted[name], values, atol=1e-6)
    coarse = to_numpy(model(inputs, patch_size=8))
    own = to_numpy(own)
    assert np.abs(coarse["image_embedding"] - own["image_embedding"]).max() > (
        1e-3
    )
    np.testing.assert_array_equal(
        coarse["text_embedding"], own["text_embedding"]
    )


@pytest.mark.once
def test_at_the_size_of_its_kernel_it_is_a_plain_model():
    flexible = make((2, 4))
    plain = SigLIP(**CONFIG)
    paths = [
        [v.path.partition("/")[2] for v in of.weights]
        for of in (plain, flexible)
    ]
    assert paths[0] == paths[1]
    plain.set_weights(flexible.get_weights())
    assert_equal(flexible(batch()), plain(batch()))


@pytest.mark.once
def test_a_functional_model_at_a_size():
    model = make()
    inputs = {
        "images": keras.Input((8, 8, 3), dtype="uint8"),
        "token_ids": keras.Input((5,), dtype="int32"),
    }
    coarse = keras.Model(inputs, model(inputs, patch_size=8))
    assert_equal(coarse(batch()), model(batch(), patch_size=8))


def freeze(layer):
    layer.trainable = False


def adapt(layer):
    layer.enable_lora(2)
    for weight in layer.trainable_weights:
        weight.assign(
            0.1 * np.cos(np.arange(np.prod(weight.shape))).reshape(weight.shape)
        )


def lower(layer):
    layer.dtype_policy = "mixed_bfloat16"


@pytest.mark.once
@pytest.mark.parametrize("change", [None, freeze, adapt, lower])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_it_comes_back_from_a_file(change, policy, tmp_path):
    model = make(dtype=policy)
    if change is not None:
        change(model.image_encoder.embedding.projection)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.patch_sizes == (2, 4, 8)
    for one, other in zip(model.weights, loaded.weights, strict=True):
        assert one.trainable == other.trainable
        assert one.dtype == other.dtype
    for size in (2, 4, 8):
        assert_equal(
            loaded(batch(), patch_size=size), model(batch(), patch_size=size)
        )


@pytest.mark.once
def test_training_goes_on_from_a_file(tmp_path):
    model = JESTModel(make(), seed=0)
    loss = SigmoidContrastiveLoss()
    model.compile(keras.optimizers.Adam(0.01), loss=loss, selection=None)
    model.fit(batch(4), verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for of in (model, loaded):
        of.fit(batch(4), verbose=0, shuffle=False)
    assert_equal(loaded.get_weights(), model.get_weights())


@pytest.mark.once
def test_adapters_of_the_projection_count_at_each_size():
    model = make()
    before = [to_numpy(model(batch(), patch_size=size)) for size in (4, 8)]
    adapt(model.image_encoder.embedding.projection)
    for size, old in zip((4, 8), before, strict=True):
        new = to_numpy(model(batch(), patch_size=size))
        difference = new["image_embedding"] - old["image_embedding"]
        assert np.abs(difference).max() > 1e-3


@pytest.mark.once
def test_what_is_around_the_kernel_can_be_quantised(tmp_path):
    model = make()
    exact = [to_numpy(model(batch(), patch_size=size)) for size in (2, 4, 8)]
    model.image_encoder.blocks[0].mlp.hidden.quantize("int8")
    with pytest.raises(NotImplementedError, match="FlexibleProjection"):
        model.image_encoder.embedding.projection.quantize("int8")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for size, expected in zip((2, 4, 8), exact, strict=True):
        pairs = model(batch(), patch_size=size)
        assert_equal(loaded(batch(), patch_size=size), pairs)
        # Weights are rounded by 1/254 of the largest of each column.
        np.testing.assert_allclose(
            to_numpy(pairs)["image_embedding"],
            expected["image_embedding"],
            atol=0.05,
        )


@pytest.mark.once
def test_patch_sizes_are_told():
    flexible = make()
    assert flexible.patch_sizes == (2, 4, 8)
    assert flexible.image_encoder.patch_sizes == (2, 4, 8)
    assert DualEncoder(
        flexible.image_encoder, flexible.text_encoder
    ).patch_sizes == (2, 4, 8)
    plain = SigLIP(**CONFIG)
    assert plain.patch_sizes is None
    assert plain.image_encoder.patch_sizes is None
    user = DualEncoder(keras.layers.Flatten(), plain.text_encoder)
    assert user.patch_sizes is None
    for model in (plain, plain.image_encoder):
        assert "patch_sizes" not in model.get_config()


@pytest.mark.once
def test_errors():
    model, plain = make(), SigLIP(**CONFIG)
    dense = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(8)])
    user = DualEncoder(dense, plain.text_encoder)
    with pytest.raises(ValueError, match=r"\[3\] do not divide"):
        ImageTransformer(8, 4, **SIZES, patch_sizes=(3, 4))
    with pytest.raises(ValueError, match="`patch_size`, at which.*=4"):
        SigLIP(**CONFIG, patch_sizes=(2, 8))
    with pytest.raises(ValueError, match=r"\(2, 4, 8\).*patch_size=16"):
        model(batch(), patch_size=16)
    for of in (plain, user):
        with pytest.raises(ValueError, match="`patch_sizes=`.*patch_size=8"):
            of(batch(), patch_size=8)


@pytest.mark.once
def test_flops_at_each_size():
    """What a B was worked out by hand to need, 256 pixels, 16 tokens."""
    with keras.StatelessScope(initialize_variables=False):
        model = SigLIP.from_variant(
            "B/16", image_size=256, sequence_length=16, patch_sizes=(16, 32)
        )
    keras.utils.clear_session()
    image = model.image_encoder
    assert image.forward_flops == image.forward_flops_at(16)
    flops = [image.forward_flops_at(size) / 1e9 for size in (16, 32)]
    assert [round(of, 2) for of in flops] == [46.82, 11.49]
    assert model.forward_flops == model.forward_flops_at(16)
    ratio = model.forward_flops_at(32) / model.forward_flops
    assert round(ratio, 3) == 0.287
    with pytest.raises(ValueError, match="patch_size=8"):
        model.forward_flops_at(8)
