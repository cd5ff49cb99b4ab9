"""How a selecting model is written to a `.keras` file and read from one."""

import keras

from keras_jest.layers.sublayer_states import sublayer_states
from keras_jest.models.portable_config import portable_config
from keras_jest.trainers.optimizer_per_model import OptimizerPerModel

PARTS = ("learner", "online", "reference", "policy")


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
    selection = model.compiled_selection
    if selection is not None and selection is model.policy:
        selection = "policy"
    config = {
        "loss": serialize(model.loss),
        "score_loss": serialize(model.score_loss),
        "selection": serialize(selection),
        "first_step": model.first_step,
        "last_step": model.last_step,
        "scoring_batch_size": model.scoring_batch_size,
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
    return {
        "model": type(model).__name__,
        "selection": keras.saving.serialize_keras_object(model.selection),
        **{name: compiled[name] for name in names},
        "train_reference": model.train_reference,
        "score_delay": model.score_delay,
        "seed": model.seed,
        "first_draw": int(model.draws),
        "backend": keras.backend.backend(),
    }


def compile_arguments(model, config):
    config = keras.saving.deserialize_keras_object(portable_config(config))
    if config["selection"] == "policy":
        config["selection"] = model.policy
    return config
