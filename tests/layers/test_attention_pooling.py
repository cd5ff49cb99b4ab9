import numpy as np
import numpy_transformer
import pytest
from check_layer import check_layer
from check_layer import fill_by_formula
from check_layer import to_numpy

from keras_jest.layers import AttentionPooling

CONFIG = {"num_heads": 2, "mlp_dim": 12}


def tokens(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_contract(tmp_path):
    check_layer(lambda: AttentionPooling(**CONFIG), tokens(3, 4, 8), tmp_path)


@pytest.mark.parametrize("shape", [(3, 5, 8), (1, 1, 8), (2, 7, 4)])
def test_equals_numpy(shape):
    layer = AttentionPooling(**CONFIG)
    x = tokens(*shape)
    layer(x)
    fill_by_formula(layer)
    expected = numpy_transformer.attention_pooling(
        numpy_transformer.weights_of(layer), "", x.astype("float64")
    )
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=2e-5)


def test_no_residual_around_the_attention():
    """With one token the probe's question cannot change the answer."""
    layer = AttentionPooling(**CONFIG)
    x = tokens(2, 1, 8)
    before = to_numpy(layer(x))
    layer.probe.assign(layer.probe + 3.0)
    np.testing.assert_allclose(to_numpy(layer(x)), before, atol=1e-6)


def test_probe_starts_xavier_uniform():
    layer = AttentionPooling(num_heads=2, mlp_dim=4)
    layer.build((None, 4, 512))
    bound = np.sqrt(6 / (1 + 512))
    probe = to_numpy(layer.probe)
    assert probe.shape == (1, 1, 512)
    assert 0.95 * bound < np.abs(probe).max() <= bound
