"""Configs that every backend can read."""

import keras

PRIVATE = "keras.src.backend."


def portable_config(config):
    """A serialized config with public names for what is a backend's own.

    On torch, Keras makes optimizers of classes that no other backend can
    import, and writes their names.

    Args:
        config: what `keras.saving.serialize_keras_object` or
            `get_compile_config` returned.

    Returns:
        The same, with `keras.optimizers` for the modules of such classes.
    """
    if isinstance(config, list | tuple):
        return type(config)(map(portable_config, config))
    if not isinstance(config, dict):
        return config
    config = {key: portable_config(value) for key, value in config.items()}
    module, name = config.get("module"), config.get("class_name")
    if isinstance(module, str) and module.startswith(PRIVATE):
        if hasattr(keras.optimizers, name):
            config |= {"module": "keras.optimizers", "registered_name": None}
    return config
