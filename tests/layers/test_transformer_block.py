import numpy as np
import numpy_transformer
import pytest
from check_layer import check_layer
from check_layer import fill_by_formula
from check_layer import to_numpy

from keras_jest.layers import TransformerBlock

CONFIG = {"num_heads": 2, "mlp_dim": 12}


def tokens(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_contract(tmp_path):
    check_layer(lambda: TransformerBlock(**CONFIG), tokens(3, 4, 8), tmp_path)


def test_equals_numpy():
    layer = TransformerBlock(**CONFIG)
    x = tokens(3, 5, 8)
    layer(x)
    fill_by_formula(layer)
    expected = numpy_transformer.block(
        numpy_transformer.weights_of(layer), "", x.astype("float64")
    )
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=2e-5)


def test_every_token_sees_every_token():
    layer = TransformerBlock(**CONFIG)
    x = tokens(1, 4, 8)
    before = to_numpy(layer(x))
    for changed in range(4):
        y = x.copy()
        y[0, changed] = y[0, changed, ::-1]
        moved = np.abs(to_numpy(layer(y)) - before).max(axis=-1)
        assert (moved > 1e-6).all()


def test_attention_starts_xavier_uniform_over_flattened_matrices():
    width = 192
    layer = TransformerBlock(num_heads=3, mlp_dim=8)
    layer.build((None, 4, width))
    kernels = [
        to_numpy(v).reshape(width, width)
        for v in layer.attention.weights
        if v.name == "kernel"
    ]
    assert len(kernels) == 4
    bound = np.sqrt(6 / (width + width))
    for kernel in kernels:
        assert 0.999 * bound < np.abs(kernel).max() <= bound
        np.testing.assert_allclose(kernel.std(), bound / 3**0.5, rtol=0.02)
    for first in range(4):
        for second in range(first):
            assert not np.array_equal(kernels[first], kernels[second])


def test_biases_start_at_zero_and_exist():
    layer = TransformerBlock(**CONFIG)
    layer.build((None, 4, 8))
    biases = [v for v in layer.attention.weights if v.name == "bias"]
    assert len(biases) == 4
    assert all(not to_numpy(v).any() for v in biases)


def test_heads_that_do_not_divide_the_width():
    layer = TransformerBlock(num_heads=3, mlp_dim=8)
    with pytest.raises(ValueError, match="num_heads=3, width=8"):
        layer(tokens(1, 2, 8))
