"""What callbacks of a run monitor, and which of the others logs it.

A callback that logs at the end of epochs says so by `logged_names`, of which
more is better; one that could, if it were told to, by `names`.
"""

import re

import keras

KNOWN = ("keras.", "keras_jest.")


def behind_what_they_monitor(callbacks):
    """Return callbacks so that each stands behind what logs its quantity.

    That is what it monitors, and what stands in the name of its file. Others
    keep their places. Keras cannot tell whether more of what a
    callback logs is better, and would say so when an epoch has been trained:
    here it is known.

    Args:
        callbacks: list of Keras callbacks.

    Returns:
        A list of the same.
    """
    logged = logged_by(callbacks)
    ordered = list(callbacks)
    for callback in reversed(callbacks):
        monitor = monitor_of(callback)
        for name in {monitor, *names_in_path(callback)} & set(logged):
            logger = logged[name]
            if ordered.index(callback) < ordered.index(logger):
                ordered.remove(callback)
                ordered.insert(ordered.index(logger) + 1, callback)
        is_auto = getattr(callback, "mode", None) == "auto"
        if monitor in logged and hasattr(callback, "monitor_op") and is_auto:
            callback.mode = "max"
    return ordered


def check_monitors(model, callbacks):
    """Raise if what a callback monitors will surely be in no log.

    Args:
        model: a `SelectingModel`.
        callbacks: list of Keras callbacks.

    Raises:
        ValueError: Nobody logs it.
    """
    logged = logged_by(callbacks)
    for callback in callbacks:
        monitor = monitor_of(callback)
        if monitor is None or monitor in logged:
            continue
        if is_surely_missing(monitor, logged, model, callbacks):
            raise ValueError(
                f"`{type(callback).__name__}` monitors what nobody logs. "
                f"Received: monitor={monitor!r}. {way_out(logged, callbacks)}"
            )


def is_surely_missing(monitor, logged, model, callbacks):
    """Whether a name, not in the logs by a callback, is there by no other."""
    of_callbacks = set(logged).union(
        *(getattr(of, "names", ()) for of in callbacks if is_known(of))
    )
    if monitor.removeprefix("val_") in of_callbacks:
        return True
    may_be_others = any(of.name == "compile_metrics" for of in model.metrics)
    return (
        "@" in monitor and not may_be_others and all(map(is_known, callbacks))
    )


def way_out(logged, callbacks):
    """What to monitor instead."""
    if logged:
        return f"Callbacks log {sorted(logged)}, without 'val_'."
    if any(hasattr(of, "logged_names") for of in callbacks):
        return (
            "Evaluations after every so many steps are in no log of an epoch: "
            "leave `every` out."
        )
    return (
        "Add a callback that does, such as "
        "`keras_jest.callbacks.RetrievalEvaluation`."
    )


def logged_by(callbacks):
    """The names that callbacks log, and the last callback that logs each."""
    return {
        name: of for of in callbacks for name in getattr(of, "logged_names", ())
    }


def monitor_of(callback):
    monitor = getattr(callback, "monitor", None)
    return monitor if isinstance(monitor, str) else None


def names_in_path(callback):
    """What Keras puts into the name of a file, such as `{acc1:.2f}`."""
    return re.findall("{([^{}:!]+)", str(getattr(callback, "filepath", "")))


def is_known(callback):
    """Whether it is known what a callback logs."""
    module = type(callback).__module__
    is_any = isinstance(callback, keras.callbacks.LambdaCallback)
    return module.startswith(KNOWN) and not is_any
