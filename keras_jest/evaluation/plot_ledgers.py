"""The same learning curve over examples trained, scored, and computation."""

from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

from keras_jest.api_export import keras_jest_export
from keras_jest.data.require import require
from keras_jest.evaluation.ledger_file import best_point
from keras_jest.evaluation.ledger_file import points
from keras_jest.evaluation.ledger_file import read_ledger
from keras_jest.types import StrPath

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXES = {
    "examples trained": lambda point: point["examples_trained"],
    "examples looked at": lambda point: point["examples_looked_at"],
    "computation, FLOPs": lambda point: point["flops"]["total"],
}


@keras_jest_export("keras_jest.evaluation.plot_ledgers")
def plot_ledgers(ledgers: Mapping[str, StrPath | dict[str, Any]]) -> "Figure":
    """Draw the curves of some runs over three axes.

    What selection is worth depends on what is held equal. Over examples
    trained, selection costs nothing; over examples looked at, which are those
    scored, or trained on where nothing is scored, it must be worth what it
    throws away; over computation all is counted, the reference's part
    included. A dashed line marks the best of the first run.

    Args:
        ledgers: dict, by names for the legend, of paths of the JSON that
            `keras_jest.callbacks.ComputeLedger` wrote, or of its `record`;
            the baseline's first.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig(path)` writes it.

    Raises:
        ValueError: if a file is no such JSON, the runs monitored different
            quantities, or one monitored none.
        ImportError: if matplotlib is not installed.

    Example:

    ```python
    from keras_jest.evaluation import plot_ledgers

    # uniform = ComputeLedger(path="uniform.json", monitor="val_accuracy")
    # joint = ComputeLedger("uniform.json", path="joint.json")
    runs = {"uniform": "uniform.json", "joint": "joint.json"}
    # plot_ledgers(runs).savefig("curves.png")
    ```
    """
    figure = require("matplotlib.figure", "keras-jest[plots]").Figure
    ledgers = {
        name: of if isinstance(of, dict) else read_ledger(of)
        for name, of in ledgers.items()
    }
    monitor = common_monitor(ledgers)
    figure = figure(figsize=(12, 4), layout="constrained")
    axes = figure.subplots(1, len(AXES), sharey=True)
    for axis, (label, place) in zip(axes, AXES.items(), strict=True):
        for name, ledger in ledgers.items():
            ends = points(ledger)
            places = [place(point) for point in ends]
            values = [point["monitored"] for point in ends]
            axis.plot(places, values, marker=".", label=name)
        goal = best_point(next(iter(ledgers.values())))["monitored"]
        axis.axhline(goal, color="grey", linewidth=1, linestyle="--")
        axis.set_xlabel(label)
        axis.set_xlim(left=0)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(monitor)
    axes[0].legend()
    return figure


def common_monitor(ledgers):
    """What all runs monitored, or an error that names what each did."""
    monitors = {
        name: ledger["task"]["monitor"] if points(ledger) else None
        for name, ledger in ledgers.items()
    }
    found = set(monitors.values())
    if len(found) != 1 or None in found:
        raise ValueError(
            "Curves need one quantity that all runs monitored, at the end of "
            "one epoch or more. Pass the same `monitor` to the `ComputeLedger` "
            f"of each. Received: {monitors}"
        )
    return found.pop()
