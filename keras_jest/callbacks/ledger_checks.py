"""What a ledger refuses, before anything is trained."""

import numbers
import warnings

import numpy as np

from keras_jest.callbacks.rows_of_epoch import loss_of
from keras_jest.data.require import require

GREATER_IS_BETTER = "acc acc1 acc5 accuracy auc recall precision f1 iou".split()
SMALLER_IS_BETTER = "loss error".split()


def check_arguments(mode, picture, baseline, **numbers_of_rows):
    """Raise unless the arguments of a `ComputeLedger` make sense."""
    if mode not in ("auto", "min", "max"):
        raise ValueError(
            f"`mode` must be 'auto', 'min' or 'max'. Received: mode={mode!r}"
        )
    for name, value in numbers_of_rows.items():
        if not isinstance(value, numbers.Integral) or value < 0:
            raise ValueError(
                f"`{name}` must be a number of examples, at least 0. "
                f"Received: {name}={value!r}"
            )
    if picture is None:
        return
    require("matplotlib.figure", "keras-jest[plots]")
    if baseline is None:
        raise ValueError(
            "A picture compares a run with a `baseline`. For others call "
            "`keras_jest.evaluation.plot_ledgers`. "
            f"Received: picture={picture!r}, baseline=None"
        )


def check_model(model):
    """Raise unless the rows of a model can be counted."""
    strategy = getattr(model, "distribute_strategy", None)
    num_replicas = getattr(strategy, "num_replicas_in_sync", 1)
    if num_replicas > 1:
        raise ValueError(
            "A ledger knows the batch of one replica alone. "
            f"Received: {num_replicas} replicas of tf.distribute. "
            "Train in one, or on JAX with `keras.distribution`."
        )
    if not hasattr(model, "selection_metrics"):
        loss_of(model)


def mode_of(monitor, mode):
    """Whether more of what is monitored is better, by its name if need be."""
    if mode != "auto" or monitor is None:
        return mode
    words = monitor.replace("@", "_").split("_")
    for way, known in (("min", SMALLER_IS_BETTER), ("max", GREATER_IS_BETTER)):
        if any(word in known for word in words):
            return way
    raise ValueError(
        "The name does not tell whether more of it is better. Pass "
        f"mode='min' or mode='max'. Received: monitor={monitor!r}"
    )


def monitored(monitor, logs):
    """The value of what is monitored, `None` with a warning if it lacks."""
    if monitor is None:
        return None
    if np.size(logs.get(monitor, ())) == 1:
        return float(np.ravel(logs[monitor])[0])
    warnings.warn(
        "The logs of the epoch lack what is monitored, or it is no single "
        "number, so that its curve has no point here. Put the callback that "
        "logs it before this one, or monitor another. "
        f"Received: monitor={monitor!r}, logs with {sorted(logs)}",
        stacklevel=2,
    )
    return None
