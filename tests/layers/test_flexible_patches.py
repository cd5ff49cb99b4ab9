"""Patches of several sizes with one kernel."""

import keras
import numpy as np
import numpy_transformer
import pytest
from check_layer import check_layer
from check_layer import fill_by_formula
from check_layer import to_numpy
from numpy_resizing import resized_kernel
from numpy_resizing import resized_positions
from on_backend import gradients
from on_backend import started_soon

from keras_jest.layers import PatchEmbedding

CONFIG = {"patch_size": 4, "width": 6, "patch_sizes": (8, 2, 4)}


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_contract(tmp_path):
    check_layer(lambda: PatchEmbedding(**CONFIG), images(3, 8, 8, 3), tmp_path)


@pytest.mark.parametrize(
    "sizes, sides", [((2, 4, 8), (16, 8)), ((3, 4, 6), (12, 24))]
)
def test_equals_numpy_at_each_size(sizes, sides):
    layer = PatchEmbedding(4, 5, patch_sizes=sizes)
    x = images(2, *sides, 3)
    layer.build((None, *sides, 3))
    fill_by_formula(layer)
    weights = numpy_transformer.weights_of(layer)
    assert weights["projection/kernel"].shape[0] == max(sizes)
    grids = {size: tuple(side // size for side in sides) for size in sizes}
    for size in sizes:
        kernel = resized_kernel(weights["projection/kernel"], size)
        positions = resized_positions(
            weights["position_embedding"], grids[4], grids[size]
        )
        expected = numpy_transformer.patch_embedding(
            {
                **weights,
                "projection/kernel": kernel,
                "position_embedding": positions,
            },
            "",
            x.astype("float64"),
        )
        asked = {} if size == 4 else {"patch_size": size}  # 4 is its own.
        embed = started_soon(lambda x, asked=asked: layer(x, **asked))
        # Sums of up to 192 float32 products of numbers near 1.
        np.testing.assert_allclose(
            to_numpy(embed(x)), expected, rtol=1e-5, atol=2e-5
        )


@pytest.mark.once
def test_nothing_is_overwritten():
    layer = PatchEmbedding(**CONFIG)
    x = images(2, 8, 8, 3)
    layer(x)
    before = layer.get_weights()
    for size in (2, 8):
        layer(x, patch_size=size)
    for one, other in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_gradients_reach_what_is_stored():
    """Of two by two weights that are summed each gets what the sum gets."""
    layer = PatchEmbedding(4, 5, patch_sizes=(4, 8))
    plain = PatchEmbedding(4, 5)
    x = images(2, 8, 8, 3)
    factors = images(2, 4, 5)
    stored = {}
    for of in (layer, plain):
        of.build(x.shape)

        def total(values, of=of):
            pairs = [
                (of.projection._kernel, values["kernel"]),
                (of.position_embedding, values["positions"]),
            ]
            with keras.StatelessScope(state_mapping=pairs):
                return keras.ops.sum(keras.ops.multiply(of(x), factors))

        values = {
            "kernel": to_numpy(of.projection.kernel),
            "positions": to_numpy(of.position_embedding),
        }
        stored[of] = to_numpy(gradients(total, values))
    got, expected = stored[layer], stored[plain]
    repeated = expected["kernel"].repeat(2, axis=0).repeat(2, axis=1)
    # Sums of eight float32 products, in another order.
    np.testing.assert_allclose(got["kernel"], repeated, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(got["positions"], expected["positions"])


@pytest.mark.once
def test_symbolic_shapes_are_eager_ones():
    layer = PatchEmbedding(**CONFIG)
    x = images(2, 8, 8, 3)
    for size in (None, 2, 4, 8):
        inputs = keras.Input((8, 8, 3))
        model = keras.Model(inputs, layer(inputs, patch_size=size))
        outputs = layer(x, patch_size=size)
        assert model.output_shape == (None, *outputs.shape[1:])
        # The same sums of numbers below 8, which a program may reorder: a
        # float32 digit there is 5e-7.
        np.testing.assert_allclose(
            to_numpy(model(x)), to_numpy(outputs), atol=1e-6
        )


@pytest.mark.parametrize("stored, size", [(8, 4), (8, 8), (8, 2)])
def test_resizing_is_in_float32_and_what_is_rounded_is_the_result(stored, size):
    """In mixed precision: equal to a plain layer with a kernel resized so."""
    exact = PatchEmbedding(size, 5, patch_sizes=(size, stored))
    x = images(2, 8, 8, 3)
    exact.build(x.shape)
    fill_by_formula(exact)
    kernel, bias = (to_numpy(v) for v in exact.projection.weights)
    flexible = PatchEmbedding(
        size, 5, patch_sizes=(size, stored), dtype="mixed_bfloat16"
    )
    plain = PatchEmbedding(size, 5, dtype="mixed_bfloat16")
    for layer in (flexible, plain):
        layer.build(x.shape)
    flexible.set_weights(exact.get_weights())
    small = resized_kernel(kernel.astype("float64"), size)
    plain.projection.set_weights([small.astype("float32"), bias])
    plain.position_embedding.assign(exact.position_embedding)
    got = flexible(x)
    assert keras.backend.standardize_dtype(got.dtype) == "bfloat16"
    np.testing.assert_array_equal(to_numpy(got), to_numpy(plain(x)))


def test_it_starts_as_a_plain_layer_of_the_largest_and_of_half_the_size():
    layer = PatchEmbedding(8, 256, patch_sizes=(8, 16))
    layer.build((None, 32, 32, 3))
    kernel = to_numpy(layer.projection.kernel)
    half = kernel.reshape(8, 2, 8, 2, 3, 256).sum(axis=(1, 3))
    # 49,152 numbers or more: their deviation is known to 0.3 %.
    np.testing.assert_allclose(kernel.std(), (16 * 16 * 3) ** -0.5, rtol=0.02)
    np.testing.assert_allclose(half.std(), (8 * 8 * 3) ** -0.5, rtol=0.02)
    positions = to_numpy(layer.position_embedding)
    assert positions.shape == (1, 16, 256)
    np.testing.assert_allclose(positions.std(), 256**-0.5, rtol=0.05)


def test_a_plain_layer_is_written_as_before():
    layer = PatchEmbedding(4, 6)
    assert layer.patch_sizes is None
    assert "patch_sizes" not in layer.get_config()
    assert PatchEmbedding(**CONFIG).patch_sizes == (2, 4, 8)


@pytest.mark.parametrize("patch_sizes", [(8, 2), (), (4, 0), (4, 2.0)])
def test_sets_that_cannot_be(patch_sizes):
    with pytest.raises(ValueError, match="one of them. Received: patch_sizes"):
        PatchEmbedding(4, 6, patch_sizes=patch_sizes)


def test_sizes_that_do_not_divide_the_picture():
    layer = PatchEmbedding(4, 6, patch_sizes=(3, 4, 8))
    with pytest.raises(ValueError, match=r"16 x 8 pixels.*\[3\]"):
        layer.build((None, 16, 8, 3))


@pytest.mark.parametrize("size", [3, 16, 4.5, "4", True])
def test_sizes_that_are_not_there(size):
    layer = PatchEmbedding(**CONFIG)
    layer.build((None, 8, 8, 3))
    for inputs in (images(1, 8, 8, 3), keras.Input((8, 8, 3))):
        with pytest.raises(ValueError, match=r"one of the ints \(2, 4, 8\)"):
            layer(inputs, patch_size=size)


def test_a_plain_layer_has_its_own_size_alone():
    layer = PatchEmbedding(4, 6)
    x = images(1, 8, 8, 3)
    assert layer(x, patch_size=4).shape == (1, 4, 6)
    with pytest.raises(ValueError, match=r"`patch_sizes=`.*patch_size=2"):
        layer(x, patch_size=2)
