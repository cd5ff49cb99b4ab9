"""Which part of a batch each model gets."""

import keras


class BatchError(ValueError):
    """A batch is not what a model reads.

    Keras wraps what a model raises while it is built, and fills it with
    tensors: by this class the sentence is found again.
    """


def model_inputs(model, inputs, role="model"):
    """Give `model` exactly the inputs that it names.

    A functional Keras model sorts a dict with more keys than it has inputs
    and takes the first ones, without a word.

    Args:
        model: a Keras model or layer. A functional model gets its inputs by
            their names, another one those of its attribute `input_keys`, and
            the whole dict if it has none.
        inputs: what the dataset yields for `n` examples: a dict of tensors,
            or anything else, which is passed on as it is.
        role: str, what the model is called in an error.

    Returns:
        The inputs for `model`.

    Raises:
        ValueError: if the batch lacks an input that the model names.
    """
    check_has_names(model, inputs, role)
    structure = input_names(model) if isinstance(inputs, dict) else None
    if structure is None:
        return inputs
    missing = missing_inputs(structure, inputs)
    if missing:
        raise BatchError(
            f"The {role} needs inputs that the batch lacks: {missing}. "
            f"Received: a batch with the keys {sorted(inputs)}. Rename the "
            f"arrays of the dataset or the inputs of the model{hint(missing)}."
        )
    return keras.tree.map_structure(inputs.get, structure)


def hint(missing):
    """How an input gets a name, where Keras has made one up."""
    if not any(name.startswith("keras_tensor") for name in missing):
        return ""
    return ", which have no names yet: keras.Input(shape, name='images')"


def check_has_names(model, inputs, role="model"):
    """Raise if a model takes its inputs by name and gets them without."""
    names = getattr(model, "input_keys", None)
    if not names or isinstance(inputs, dict):
        return
    received = f"an array of shape {tuple(getattr(inputs, 'shape', ()))}"
    if isinstance(inputs, list | tuple):
        received = f"a {type(inputs).__name__} of {len(inputs)}"
    example = ", ".join(f"'{name}': ..." for name in names)
    raise BatchError(
        f"The {role} takes its inputs by name, {list(names)}, and targets "
        f"are not needed: give `fit` a dict of arrays, {{{example}}}, or "
        "batches that are such dicts (of a `tf.data.Dataset` or a generator "
        f"tuples of one dict). Received: {received}"
    )


def take_inputs(model, inputs):
    """Return what `model.input_keys` names: an order would not be safe."""
    named = model_inputs(model, inputs, f"model '{model.name}'")
    return tuple(named[key] for key in model.input_keys)


def missing_inputs(structure, inputs):
    return sorted(set(keras.tree.flatten(structure)) - set(inputs))


def build_from_batch(model, inputs):
    """Build a model, unless the batch lacks inputs that it will need later.

    Nothing is computed, so that the losses and the seeds of its layers stay
    what they are.
    """
    structure = input_names(model) if isinstance(inputs, dict) else None
    if structure is not None and missing_inputs(structure, inputs):
        return
    model(
        keras.tree.map_structure(
            lambda array: keras.KerasTensor(array.shape, array.dtype),
            model_inputs(model, inputs),
        ),
        training=False,
    )


def input_names(model):
    """The names of a model's inputs in their structure, None if unknown."""
    keys = getattr(model, "input_keys", None)
    if keys is not None:
        return {key: key for key in keys}
    if not getattr(model, "inputs", None):
        return None
    if isinstance(model, keras.Sequential):
        return model.inputs[0].name
    if isinstance(model.input, dict):
        return {key: key for key in model.input}
    return keras.tree.map_structure(lambda tensor: tensor.name, model.input)
