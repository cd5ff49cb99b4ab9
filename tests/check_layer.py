"""What every layer and model of ours must do, as Keras tests its own."""

import keras
import numpy as np
from keras import ops
from on_backend import started_soon


def check_layer(make, inputs, folder):
    """Check config, shapes, a fit, mixed precision, save and load.

    `make()` returns a new layer or model each time.
    """
    layer = make()
    layer(symbolic(inputs))
    outputs = called(layer, inputs)
    _check_config(layer)
    _check_shapes(layer, inputs, outputs)
    _check_fit(make(), inputs)
    _check_mixed_precision(layer, make, inputs, outputs)
    _check_saving(layer, inputs, outputs, folder)


def to_numpy(tree):
    return keras.tree.map_structure(
        lambda x: ops.convert_to_numpy(ops.cast(x, "float32")), tree
    )


def called(layer, inputs):
    """What a layer that is built returns."""
    return to_numpy(started_soon(layer)(inputs))


def symbolic(inputs):
    return keras.tree.map_structure(
        lambda x: keras.KerasTensor((None, *x.shape[1:]), str(x.dtype)), inputs
    )


def fill_by_formula(layer, size=0.5):
    """Give weights that are the same on every backend and machine."""
    for number, weight in enumerate(layer.weights):
        values = np.sin(1.0 + number + 1.7 * np.arange(np.prod(weight.shape)))
        weight.assign(size * values.reshape(weight.shape))


def _check_config(layer):
    config = layer.get_config()
    again = type(layer).from_config(config).get_config()
    assert set(again) == set(config)
    for name, value in config.items():
        if isinstance(value, dict) and name != "dtype":
            # A nested model: `_check_saving` compares what it computes.
            assert again[name]["class_name"] == value["class_name"]
        else:
            assert again[name] == value


def _check_shapes(layer, inputs, outputs):
    shapes = keras.tree.map_structure(lambda x: (None, *x.shape[1:]), inputs)
    promises = layer(symbolic(inputs))
    promised = layer.compute_output_shape(shapes)
    if isinstance(outputs, dict):
        assert set(promised) == set(promises) == set(outputs)
    else:
        promised, promises, outputs = [promised], [promises], [outputs]
    for name in promised if isinstance(promised, dict) else [0]:
        expected = (None, *outputs[name].shape[1:])
        assert tuple(promised[name]) == expected
        assert tuple(promises[name].shape) == expected
        if isinstance(promised, dict):
            assert promises[name].dtype == "float32"


class Flat(keras.Model):
    """One row of numbers per example, whatever the layer returns."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, inputs):
        leaves = keras.tree.flatten(self.layer(inputs))
        rows = [ops.reshape(x, (ops.shape(x)[0], -1)) for x in leaves]
        return ops.concatenate(rows, axis=-1)


def _check_fit(layer, inputs):
    model = Flat(layer)
    width = to_numpy(model(inputs)).shape[1]
    before = [ops.convert_to_numpy(v) for v in layer.trainable_variables]
    model.compile("sgd", loss="mse")
    rows = len(keras.tree.flatten(inputs)[0])
    target = np.ones((rows, width), "float32")
    history = model.fit(inputs, target, batch_size=rows, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    after = [ops.convert_to_numpy(v) for v in layer.trainable_variables]
    assert all(np.isfinite(values).all() for values in after)
    moved = [
        not np.array_equal(a, b) for a, b in zip(before, after, strict=True)
    ]
    assert not moved or np.mean(moved) > 0.5


def _check_mixed_precision(layer, make, inputs, outputs):
    mixed = make_with_policy(make, "mixed_bfloat16")
    mixed(symbolic(inputs))
    mixed.set_weights(layer.get_weights())
    low = called(mixed, inputs)
    assert all(
        keras.backend.standardize_dtype(v.dtype) == "float32"
        for v in mixed.trainable_variables
    )
    _compare(low, outputs, tolerance=0.1)


def _compare(tree, expected, tolerance):
    keras.tree.map_structure(
        lambda a, b: np.testing.assert_allclose(
            a, b, rtol=tolerance, atol=tolerance
        ),
        tree,
        expected,
    )


def make_with_policy(make, policy):
    keras.config.set_dtype_policy(policy)
    try:
        return make()
    finally:
        keras.config.set_dtype_policy("float32")


def _check_saving(layer, inputs, outputs, folder):
    model = (
        layer if isinstance(layer, keras.Model) else keras.Sequential([layer])
    )
    model(inputs)
    path = folder / f"{layer.name}.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    _compare(called(loaded, inputs), outputs, tolerance=1e-6)
