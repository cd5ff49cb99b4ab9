"""The file of a `ComputeLedger`, and what one run can say of another."""

import json
import math

from keras_jest.data.whole_file import whole_file

FORMAT = "keras_jest.callbacks.ComputeLedger 1"


def read_ledger(path):
    """Read the JSON of a run.

    Args:
        path: str or path.

    Returns:
        A dict, as `keras_jest.callbacks.ComputeLedger` describes it.

    Raises:
        ValueError: there is no such file, or something else is in it.
    """
    try:
        with open(path, encoding="utf-8") as file:
            ledger = json.load(file)
    except (OSError, ValueError) as error:
        raise ValueError(
            "Expected the JSON that `ComputeLedger(path=...)` wrote in "
            f"another run. Received: {str(path)!r} ({error})"
        ) from error
    found = ledger.get("format") if isinstance(ledger, dict) else None
    if found != FORMAT:
        raise ValueError(
            f"Expected JSON of the format {FORMAT!r}, which "
            "`ComputeLedger(path=...)` writes. Received: "
            f"format={found!r}, in {str(path)!r}"
        )
    return ledger


def write_ledger(path, ledger):
    """Write the JSON of a run in the place of an older one, whole."""
    text = json.dumps(ledger, indent=1)
    with whole_file(path) as file:
        file.write(text.encode())


def points(ledger):
    """The ends of epochs at which the monitored quantity is known."""
    # NaN, which is neither more nor less, would be the best for good.
    values = [(of, of["monitored"]) for of in ledger["epochs"]]
    return [of for of, value in values if is_known(value)]


def is_known(value):
    return value is not None and not math.isnan(value)


def is_reached(value, goal, mode):
    return value >= goal if mode == "max" else value <= goal


def best_point(ledger):
    """Where a run first had the best value that it ever had, or `None`."""
    best = max if ledger["task"]["mode"] == "max" else min
    return best(points(ledger), key=lambda of: of["monitored"], default=None)
