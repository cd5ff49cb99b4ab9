import numpy as np
import numpy_transformer
import pytest
from check_layer import check_layer
from check_layer import fill_by_formula
from check_layer import to_numpy

from keras_jest.layers import TokenEmbedding

CONFIG = {"vocabulary_size": 20, "width": 6}


def token_ids(*shape):
    return np.random.default_rng(0).integers(0, 20, shape).astype("int32")


def test_contract(tmp_path):
    check_layer(lambda: TokenEmbedding(**CONFIG), token_ids(3, 5), tmp_path)


def test_equals_numpy():
    layer = TokenEmbedding(**CONFIG)
    x = token_ids(3, 5)
    layer(x)
    fill_by_formula(layer)
    expected = numpy_transformer.token_embedding(
        numpy_transformer.weights_of(layer), "", x
    )
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-6)


def test_both_tables_start_with_one_over_root_of_width():
    layer = TokenEmbedding(vocabulary_size=100, width=256)
    layer.build((None, 32))
    for weight in layer.weights:
        np.testing.assert_allclose(to_numpy(weight).std(), 1 / 16, rtol=0.05)


def test_other_lengths_are_refused():
    layer = TokenEmbedding(**CONFIG)
    layer(token_ids(2, 5))
    for length in (1, 4, 6):
        with pytest.raises(ValueError, match="incompatible"):
            layer(token_ids(2, length))
    with pytest.raises(ValueError, match="known length"):
        TokenEmbedding(**CONFIG).build((None, None))
