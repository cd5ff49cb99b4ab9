"""How a selecting model is written to a `.keras` file and read from one.

Functions named as methods of `keras.Model` are methods of `SelectingModel`.
"""

from typing import Any

import keras

from keras_jest.layers.adapters import read_adapters
from keras_jest.layers.adapters import write_adapters
from keras_jest.layers.sublayer_states import restore_sublayer_states
from keras_jest.layers.sublayer_states import sublayer_states
from keras_jest.models.portable_config import portable_config
from keras_jest.trainers.optimizer_per_model import OptimizerPerModel
from keras_jest.trainers.saving_checks import check_lambdas
from keras_jest.trainers.saving_checks import check_parts

PARTS = ("learner", "online", "reference", "policy")


def get_config(model: keras.Model) -> dict[str, Any]:
    return {**keras.Model.get_config(model), **constructor_config(model)}


def from_config(
    cls: type[keras.Model],
    config: dict[str, Any],
    custom_objects: dict[str, Any] | None = None,
) -> keras.Model:
    arguments = constructor_arguments(config, custom_objects)
    states = arguments.pop("sublayers", {})
    model = cls(**arguments)
    if model.built:
        restore_sublayer_states(model, states)
    else:
        model.saved_states = states
    return model


def build_from_config(model: keras.Model, config: dict[str, Any]) -> None:
    keras.Model.build_from_config(model, config)
    restore_sublayer_states(model, model.saved_states)
    model.saved_states = {}


def get_compile_config(model: keras.Model) -> dict[str, Any]:
    if not model.compiled:
        return {}
    check_parts(
        loss=model.loss,
        score_loss=model.settings.score_loss,
        selection=model.settings.selection,
    )
    config = keras.Model.get_compile_config(model)
    config = {**config, **compile_config(model)}
    check_lambdas(config)
    return portable_config(config)


def compile_from_config(model: keras.Model, config: dict[str, Any]) -> None:
    model.compile(**compile_arguments(model, config))
    if model.built:
        model.optimizer.build(model.trainable_variables)


def save_own_variables(model: keras.Model, store: Any) -> None:
    keras.Model.save_own_variables(model, store)
    write_adapters(model, store)


def load_own_variables(model: keras.Model, store: Any) -> None:
    keras.Model.load_own_variables(model, read_adapters(model, store))


def constructor_config(model):
    """The arguments of the constructor, beside those of `keras.Model`."""
    serialize = keras.saving.serialize_keras_object
    config = {part: serialize(getattr(model, part)) for part in PARTS}
    config = portable_config(config) | {
        "train_reference": model.train_reference,
        "seed": model.seed,
        "score_delay": model.score_delay,
    }
    states = sublayer_states(model) | model.saved_states
    return config | ({"sublayers": states} if states else {})


def constructor_arguments(config, custom_objects=None):
    config = portable_config(config)
    for part in set(PARTS) & set(config):
        config[part] = keras.saving.deserialize_keras_object(
            config[part], custom_objects=custom_objects
        )
    return config


def compile_config(model):
    """The arguments of `compile`, beside those that Keras knows."""
    serialize = keras.saving.serialize_keras_object
    selection = model.settings.selection
    if selection is not None and selection is model.policy:
        selection = "policy"
    config = {
        "loss": serialize(model.loss),
        "score_loss": serialize(model.settings.score_loss),
        "selection": serialize(selection),
        "first_step": model.settings.first_step,
        "last_step": model.settings.last_step,
        "scoring_batch_size": model.settings.scoring_batch_size,
        "jit_compile": model.settings.jit_compile,
    }
    # Keras wraps it where losses are scaled.
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if isinstance(optimizer, OptimizerPerModel):
        config.update(optimizer.get_config())
    return config


def selection_settings(model):
    """What decides which rows a run picks, beside its data and weights."""
    compiled = compile_config(model)
    names = "loss score_loss first_step last_step scoring_batch_size".split()
    selection = keras.saving.serialize_keras_object(model.selection)
    return {
        "model": type(model).__name__,
        "selection": unnamed(selection),
        **{name: unnamed(compiled[name]) for name in names},
        "train_reference": model.train_reference,
        "score_delay": model.score_delay,
        "seed": model.seed,
        "first_draw": int(model.draws),
        "backend": keras.backend.backend(),
    }


def unnamed(serialized):
    """Without the name of an object: Keras counts those that a process made."""
    config = isinstance(serialized, dict) and serialized.get("config")
    if not isinstance(config, dict):
        return serialized
    config = {key: value for key, value in config.items() if key != "name"}
    return {**serialized, "config": config}


def compile_arguments(model, config):
    config = keras.saving.deserialize_keras_object(portable_config(config))
    if config["selection"] == "policy":
        config["selection"] = model.policy
    return config
