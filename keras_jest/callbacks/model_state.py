"""All that changes in a model while it trains, as arrays."""

import itertools
import re

import keras


def model_state(model):
    """Every variable of a model, its optimizer and its metrics.

    Files of weights are not enough: they leave out the seeds of layers such
    as `Dropout` and, for the mean loss of an epoch, the metrics.

    Args:
        model: a compiled, built `SelectingModel`.

    Returns:
        A dict of lists of dicts: `path` and `value` of a variable.
    """
    groups = variables_of(model).items()
    return {group: values_of(variables) for group, variables in groups}


def values_of(variables):
    return [
        {"path": of.path, "value": keras.ops.convert_to_numpy(of.value)}
        for of in variables
    ]


def restore_model(model, state, groups=("weights", "optimizer", "metrics")):
    """Give a model the values of a state.

    Args:
        model: the model, compiled and built as that of the state.
        state: what `model_state` returned.
        groups: which of its lists.

    Raises:
        ValueError: The model has other variables; one is named.
    """
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    present = variables_of(model)
    for group in groups:
        check_same(present[group], state[group], model.name)
    for group in groups:
        for variable, saved in zip(present[group], state[group], strict=True):
            variable.assign(saved["value"])


def variables_of(model):
    return {
        "weights": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }


def check_same(variables, saved, name):
    """Raise unless there are as many variables, of the same shapes."""
    before = [(of["path"], of["value"].shape) for of in saved]
    present = [(of.path, tuple(of.shape)) for of in variables]
    for pair in itertools.zip_longest(before, present):
        kinds = [of and (short_path(of[0], name), of[1]) for of in pair]
        if kinds[0] != kinds[1]:
            expected, received = (
                f"`{of[0]}` of shape {of[1]}" if of else "nothing"
                for of in pair
            )
            raise ValueError(
                "The saved state is that of a model of other sizes, or of "
                "another optimizer. Make the model as it was, or name another "
                f"`backup_dir`. Expected: {expected}. Received: {received}"
            )


def short_path(path, name):
    """A variable's path, however it came to be in a model of a name.

    Keras numbers layers and optimizers of one kind in a process, and parts
    that a model builds when it is called have its name before theirs.
    """
    path, name = (re.sub(r"_\d+", "", of) for of in (path, name))
    return re.sub(rf"(^|/){re.escape(name)}[/_]", r"\1", path)
