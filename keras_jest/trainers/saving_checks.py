"""What cannot come back from a file, found when it is written."""

import inspect
import warnings

OURS = ("keras", "keras_jest")


def check_parts(**parts):
    """Raise if policies and losses could not come back from a file.

    Functions and classes with a name can: Keras finds those that are
    registered or can be imported, and takes others as `custom_objects`.

    Args:
        **parts: policies and losses by their names in `compile`.

    Raises:
        ValueError: if one holds a lambda, or is of a class of the user's
            whose `get_config` does not tell what it was made with.
    """
    for name, part in parts.items():
        if holds_lambda(part):
            raise ValueError(explained_lambda(name))
        is_ours = type(part).__module__.partition(".")[0] in OURS
        if part is not None and not is_ours:
            check_config(name, part)


def check_lambdas(config):
    """Raise if something that was serialized is a lambda."""
    for name, value in config.items():
        if is_serialized_lambda(value):
            raise ValueError(explained_lambda(name))


def is_serialized_lambda(config):
    if isinstance(config, dict):
        is_one = config.get("class_name") == "__lambda__"
        return is_one or any(map(is_serialized_lambda, config.values()))
    is_list = isinstance(config, list | tuple)
    return is_list and any(map(is_serialized_lambda, config))


def holds_lambda(part):
    return any(
        getattr(value, "__name__", None) == "<lambda>"
        for value in getattr(part, "__dict__", {}).values()
    )


def explained_lambda(name):
    return (
        f"The `{name}` holds a lambda, which does not come back from a "
        "`.keras` file. Make it a function with a name and register it by "
        "`@keras.saving.register_keras_serializable()`. What was trained is "
        "not lost: `model.learner.save(path)` writes the learner, and "
        "`model.save_weights(path)` the weights of all."
    )


def warn_of_lambda(model, selection):
    """Say at `compile` what `save` would refuse after training."""
    if holds_lambda(selection):
        # Blames the line that called `compile`, also that of a subclass.
        stacklevel = 3 + ("compile" in vars(type(model)))
        warnings.warn(explained_lambda("selection"), stacklevel=stacklevel)


def check_config(name, part):
    """Raise unless the config of an object makes another like it."""
    if not hasattr(part, "get_config"):
        raise ValueError(explained_config(name, part, "it has no `get_config`"))
    config = part.get_config()
    parameters = dict(inspect.signature(type(part)).parameters)
    takes_any = any(of.kind is of.VAR_KEYWORD for of in parameters.values())
    lost = [
        argument
        for argument, of in parameters.items()
        if argument not in config and was_given(part, of)
    ]
    if lost:
        raise ValueError(
            explained_config(name, part, f"its config lacks {lost}")
        )
    own_reader = "from_config" in vars(type(part))
    alien = [key for key in config if key not in parameters]
    if alien and not takes_any and not own_reader:
        reason = f"its constructor does not take {alien}"
        raise ValueError(explained_config(name, part, reason))


def was_given(part, parameter):
    """Whether an object was made with another argument than the default."""
    if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
        return False
    if parameter.default is parameter.empty:
        return True
    value = getattr(part, parameter.name, parameter.default)
    is_plain = isinstance(value, bool | int | float | str)
    return is_plain and value != parameter.default


def explained_config(name, part, reason):
    return (
        f"The `{name}` could not come back from a file: {reason}. Give "
        f"{type(part).__name__} a `get_config` with all arguments of its "
        "constructor. What was trained is not lost: "
        "`model.learner.save(path)` writes the learner, and "
        "`model.save_weights(path)` the weights of all. "
        f"Received: {name}={part}"
    )
