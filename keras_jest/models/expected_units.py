"""Which units a model expects, by what reads each of its inputs first."""

import keras
import numpy as np

from keras_jest.layers.token_embedding import TokenEmbedding
from keras_jest.models.model_inputs import input_names
from keras_jest.models.model_inputs import model_inputs
from keras_jest.models.units import RescaledPictures
from keras_jest.models.units import TokenIds

KEEP_UNITS = (
    keras.layers.InputLayer,
    keras.layers.Identity,
    keras.layers.CenterCrop,
    keras.layers.RandomCrop,
    keras.layers.RandomFlip,
    keras.layers.RandomRotation,
    keras.layers.RandomTranslation,
    keras.layers.RandomZoom,
    keras.layers.Reshape,
    keras.layers.Resizing,
)


def check_units(model, inputs, role="model"):
    """Raise if a batch is in other units than a model expects.

    Only what is known for sure is checked: token ids against the size of the
    embedding that reads them, the range of float pictures for a model that
    rescales pictures itself. A model of another kind says what it expects by
    an attribute `expected_units`, one of `keras_jest.models.units` or None
    for each of its inputs, in the order of its `input_keys`.

    Args:
        model: Keras model or layer.
        inputs: its inputs, or a dict that holds them; arrays or tensors of
            `n` rows.
        role: str, what the model is called in an error.

    Raises:
        ValueError: A number is in other units, or an input is missing.
    """
    units = expected_units(model)
    if not any(units):
        return
    arrays = in_order(model, model_inputs(model, inputs, role))
    names = input_names_in_order(model, inputs)
    for unit, array, name in zip(units, arrays, names, strict=False):
        if unit is not None and hasattr(array, "dtype"):
            unit.check(array, f"{name} of the {role}")


def expected_units(layer):
    """What a layer or a model expects of each of its inputs, None: unknown."""
    if hasattr(layer, "expected_units"):
        return list(layer.expected_units)
    if isinstance(layer, keras.Sequential):
        readers = (of for of in layer.layers if not isinstance(of, KEEP_UNITS))
        return expected_units(next(readers, None))[:1]
    if isinstance(layer, keras.Model) and getattr(layer, "inputs", None):
        return [unit_of_tensor(layer, tensor) for tensor in layer.inputs]
    return [unit_of_layer(layer)]


def unit_of_layer(layer):
    """What a layer that is no model expects of its first input."""
    if isinstance(layer, keras.layers.Embedding):
        return TokenIds(layer.input_dim, layer.compute_dtype)
    if isinstance(layer, TokenEmbedding):
        return TokenIds(layer.vocabulary_size, layer.compute_dtype)
    if isinstance(layer, keras.layers.Rescaling) or is_of_hub(
        layer, "ImageConverter"
    ):
        return unit_of_rescaling(layer)
    if is_of_hub(layer) and hasattr(layer, "token_embedding"):
        return unit_of_layer(layer.token_embedding)
    return None


def unit_of_rescaling(layer):
    """0 to 255 if the layer brings that near to 1, None if it does not."""
    greatest = 255 * np.asarray(layer.scale, "float64")  # NaN if it is None.
    if np.all((greatest >= 0.5) & (greatest <= 10)):
        return RescaledPictures(f"the layer '{layer.name}'")
    return None


def unit_of_tensor(model, tensor):
    """What those operations of a functional model expect that read a tensor."""
    for operation in model.operations:
        for node in operation._inbound_nodes:
            read = [id(of) for of in node.input_tensors]
            if id(tensor) not in read:
                continue
            if isinstance(operation, KEEP_UNITS):
                unit = unit_of_tensor(model, node.outputs[0])
            else:
                unit = unit_of_argument(operation, node, tensor)
            if unit is not None:
                return unit
    return None


def unit_of_argument(operation, node, tensor):
    """What an operation expects of a tensor, one of its arguments."""
    arguments = in_order(operation, node.arguments.args[0])
    units = expected_units(operation)
    for unit, argument in zip(units, arguments, strict=False):
        if argument is tensor:
            return unit
    return None


def in_order(model, inputs):
    """The inputs of a model as a list, in the order of its units."""
    keys = getattr(model, "input_keys", None)
    if keys is not None and isinstance(inputs, dict):
        return [inputs[key] for key in keys]
    return keras.tree.flatten(inputs)


def input_names_in_order(model, inputs):
    """What the inputs of a model are called, in the order of its units."""
    names = in_order(model, input_names(model))
    if isinstance(inputs, dict):
        return names
    return [f"input {number}" for number in range(len(names))]


def is_of_hub(layer, name=None):
    """Whether a layer is one of keras-hub's, which may not be installed."""
    return any(
        base.__module__.startswith("keras_hub.")
        and name in (None, base.__name__)
        for base in type(layer).__mro__
    )
