import numpy as np
import numpy_transformer
import pytest
from check_layer import check_layer
from check_layer import fill_by_formula
from check_layer import to_numpy

from keras_jest.layers import PatchEmbedding

CONFIG = {"patch_size": 4, "width": 6}


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_contract(tmp_path):
    check_layer(lambda: PatchEmbedding(**CONFIG), images(3, 8, 8, 3), tmp_path)


@pytest.mark.parametrize("size", [(8, 8), (4, 12), (11, 9)])
def test_equals_numpy(size):
    """The last size has pixels at the edges that fill no patch."""
    layer = PatchEmbedding(**CONFIG)
    x = images(2, *size, 3)
    layer(x)
    fill_by_formula(layer)
    expected = numpy_transformer.patch_embedding(
        numpy_transformer.weights_of(layer), "", x.astype("float64")
    )
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-5)


def test_initial_weights():
    layer = PatchEmbedding(patch_size=8, width=256)
    layer.build((None, 64, 64, 3))
    positions = to_numpy(layer.position_embedding)
    kernel = to_numpy(layer.projection.kernel)
    np.testing.assert_allclose(positions.std(), 256**-0.5, rtol=0.05)
    np.testing.assert_allclose(kernel.std(), (8 * 8 * 3) ** -0.5, rtol=0.05)
    assert not to_numpy(layer.projection.bias).any()


def test_other_sizes_are_refused_not_folded_into_the_batch():
    layer = PatchEmbedding(**CONFIG)
    layer(images(1, 8, 8, 3))
    with pytest.raises(ValueError, match="16, 16"):
        layer(images(1, 16, 16, 3))


@pytest.mark.parametrize("shape", [(None, 3, 8, 3), (None, None, 8, 3)])
def test_no_patch(shape):
    with pytest.raises(ValueError, match="at least one patch"):
        PatchEmbedding(**CONFIG).build(shape)
