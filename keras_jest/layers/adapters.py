"""Low-rank adapters in weight files, as they are."""

from keras import ops

from keras_jest.layers.sublayer_states import sublayer_paths


def write_adapters(layer, store):
    """Write low-rank adapters as they are; Keras writes them as nothing.

    It adds them to the kernels and reads adapters of zeros, whose gradients
    are zero, too: training would go on without them.

    Args:
        layer: a Keras layer or model.
        store: what its `save_own_variables` got.
    """
    for path, inner in adapted(layer).items():
        for weight in inner.weights:
            store[adapter_key(path, weight)] = weight


def read_adapters(layer, store):
    """Let adapted layers read their adapters once Keras has read them.

    Args:
        layer: a Keras layer or model.
        store: what its `load_own_variables` got.

    Returns:
        A dict of what is in `store` beside adapters.
    """
    saved = {key: store[key] for key in store.keys()}
    for path, inner in adapted(layer).items():
        own = {
            adapter_key(path, weight): weight
            for weight in inner.weights
            if adapter_key(path, weight) in saved
        }
        if own:
            values = {key: ops.convert_to_numpy(saved[key]) for key in own}
            load_afterwards(inner, own, values)
    return {key: saved[key] for key in saved if not key.startswith("adapter:")}


def adapted(layer):
    """The adapted layers inside a layer that nothing in between writes."""
    return {
        path: inner
        for path, inner in sublayer_paths(layer, into=writes_none)
        if getattr(inner, "lora_enabled", False)
    }


def adapter_key(path, weight):
    return f"adapter:{path.replace('/', '.')}:{weight.name}"


def load_afterwards(layer, weights, values):
    def load_own_variables(store):
        del layer.load_own_variables
        layer.load_own_variables(store)
        for key, weight in weights.items():
            weight.assign(values[key])

    layer.load_own_variables = load_own_variables


def writes_none(layer):
    return not hasattr(layer, "writes_adapters")
