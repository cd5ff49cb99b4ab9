import numpy as np
import numpy_transformer
from check_layer import check_layer
from check_layer import fill_by_formula
from check_layer import to_numpy

from keras_jest.layers import MLP


def tokens(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_contract(tmp_path):
    check_layer(lambda: MLP(hidden_dim=12), tokens(3, 4, 8), tmp_path)


def test_equals_numpy():
    layer = MLP(hidden_dim=12)
    x = tokens(3, 4, 8)
    layer(x)
    fill_by_formula(layer)
    weights = {
        f"mlp/{name}": values
        for name, values in numpy_transformer.weights_of(layer).items()
    }
    expected = numpy_transformer.mlp(weights, "mlp", x.astype("float64"))
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-5)


def test_initial_weights():
    layer = MLP(hidden_dim=256)
    layer.build((None, 128))
    bound = np.sqrt(6 / (128 + 256))
    for dense in (layer.hidden, layer.output_dense):
        kernel, bias = (to_numpy(v) for v in (dense.kernel, dense.bias))
        assert 0.99 * bound < np.abs(kernel).max() <= bound
        assert 0.7e-6 < bias.std() < 1.3e-6
