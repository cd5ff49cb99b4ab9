"""What was done to the layers inside a layer, told and done again.

Models and layers that make their sublayers themselves are written as sizes,
and Keras' own composites, such as `MultiHeadAttention`, forget likewise. So
the states of all sublayers are written beside: whatever is unlike the state
of the layer around it.
"""

import keras

ITSELF = "."


def sublayer_paths(layer, around="", into=lambda inner: True):
    """Yield each layer inside a layer and its path, outer ones first.

    Paths are made of class names, since Keras numbers the names of layers
    that have none anew in each process.

    Args:
        layer: a Keras layer or model.
        around: str, what paths begin with.
        into: function of a layer inside it, whether those in it are wanted.
    """
    counts = {}
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        name = type(inner).__name__
        number = counts[name] = counts.get(name, -1) + 1
        path = f"{around}{name}" + (f"_{number}" if number else "")
        yield path, inner
        if into(inner):
            yield from sublayer_paths(inner, f"{path}/", into)


def sublayer_states(layer):
    """The states of all sublayers that are unlike what they stand in.

    Args:
        layer: a Keras layer or model.

    Returns:
        A dict for JSON: dicts of `trainable`, `dtype`, `quantization_config`,
        `lora_rank`, `lora_alpha` and `exempt` (the names of a layer's weights
        that are frozen though it is trained), by the paths of layers. It is
        empty where nothing was done to them.
    """
    trainable, dtype = {"": True}, {"": policy_of(layer)}
    states = {}
    if exempt(layer):
        states[ITSELF] = {"exempt": exempt(layer)}
    for path, inner in sublayer_paths(layer):
        around, _, _ = path.rpartition("/")
        trainable[path], dtype[path] = inner.trainable, policy_of(inner)
        state = additions(inner)
        if trainable[path] != trainable[around]:
            state["trainable"] = inner.trainable
        if dtype[path] != dtype[around]:
            state["dtype"] = dtype[path]
        if state:
            states[path] = state
    return states


def policy_of(layer):
    return keras.dtype_policies.serialize(own_policy(layer))


def own_policy(layer):
    """The policy of a layer, where several share a map of them, too."""
    policy = layer.dtype_policy
    if isinstance(policy, keras.dtype_policies.DTypePolicyMap):
        return policy[layer.path or ""]
    return policy


def additions(layer):
    """What a layer has that the layer around it has not."""
    state = {}
    if getattr(layer, "lora_enabled", False):
        state["lora_rank"] = layer.lora_rank
        state["lora_alpha"] = layer.lora_alpha
    quantization = getattr(layer, "quantization_config", None)
    if layer.quantization_mode is not None and quantization is not None:
        serialize = keras.saving.serialize_keras_object
        state["quantization_config"] = serialize(quantization)
    if exempt(layer):
        state["exempt"] = exempt(layer)
    return state


def exempt(layer):
    """The weights of a layer that are not trained when it is."""
    own = layer._trainable_variables if layer.trainable else ()
    return [weight.name for weight in own if not weight.trainable]


def restore_sublayer_states(layer, states):
    """Do to the layers inside a new layer what `states` says.

    Args:
        layer: a Keras layer or model whose sublayers are built.
        states: what `sublayer_states` returned for its like.

    Raises:
        ValueError: if a layer that `states` names does not exist.
    """
    if not states:
        return
    layers = dict(sublayer_paths(layer))
    missing = sorted(set(states) - {ITSELF, *layers})
    if missing:
        raise ValueError(
            f"A saved {type(layer).__name__} had layers that the one which "
            "its config makes lacks, so that their states cannot be given "
            f"back. Received: {missing}. Load it with the version that saved "
            "it."
        )
    dtype = {"": policy_of(layer)}
    for path, inner in layers.items():
        state = states.get(path, {})
        dtype[path] = state.get("dtype", dtype[path.rpartition("/")[0]])
        restore_additions(inner, state, dtype[path])
    restore_trainable(layers, states)
    restore_exempt({ITSELF: layer, **layers}, states)
    track_on_torch([layer, *layers.values()])


def restore_additions(layer, state, dtype):
    policy = keras.dtype_policies.deserialize(dtype)
    mode = policy.quantization_mode
    if mode is not None and layer.quantization_mode is None:
        config = keras.saving.deserialize_keras_object(
            state.get("quantization_config")
        )
        layer._dtype_policy = own_policy(layer)  # Not of a map, to quantise.
        layer.quantize(mode, config=config)
    if policy_of(layer) != dtype:
        layer.dtype_policy = policy
    if "lora_rank" in state and not layer.lora_enabled:
        layer.enable_lora(state["lora_rank"], lora_alpha=state["lora_alpha"])
    if "lora_alpha" in state:
        # Keras' own layers build their adapters without it.
        layer.lora_alpha = state["lora_alpha"]


def restore_trainable(layers, states):
    """Freeze and thaw, outer layers first: each takes along what is in it."""
    trainable = {"": True}
    for path, layer in layers.items():
        around = trainable[path.rpartition("/")[0]]
        trainable[path] = states.get(path, {}).get("trainable", around)
        if layer.trainable != trainable[path]:
            layer.trainable = trainable[path]


def restore_exempt(layers, states):
    for path, state in states.items():
        for weight in layers[path]._trainable_variables:
            own = weight.name not in state.get("exempt", ())
            weight.trainable = own and layers[path].trainable


def track_on_torch(layers):
    """Let go of weights that were quantised, as `keras.Model.quantize` does."""
    if keras.backend.backend() == "torch":
        for layer in layers:
            layer._track_variables()
