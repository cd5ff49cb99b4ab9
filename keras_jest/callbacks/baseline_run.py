"""A uniform run that another is compared with."""

import warnings

from keras_jest.evaluation.ledger_file import best_point
from keras_jest.evaluation.ledger_file import is_reached
from keras_jest.evaluation.ledger_file import read_ledger
from keras_jest.evaluation.plot_ledgers import plot_ledgers

# Backends may count the odd pixels of a strided convolution differently.
TOLERANCE = 0.05
COSTS = {
    "computation": "{:.2f} times its computation",
    "examples_trained": "{:.2f} of the examples trained",
    "examples_looked_at": "{:.2f} of those looked at",
}


class BaselineRun:
    """The JSON of a uniform run: its task, and its best value.

    Args:
        path: str or path of the JSON.
    """

    def __init__(self, path):
        self.path = str(path)
        self.ledger = read_ledger(path)
        self.task = self.ledger["task"]
        self.best = best_point(self.ledger)
        if self.best is None:
            raise ValueError(
                "A baseline must have monitored something at the end of an "
                "epoch. Run it with `ComputeLedger(path=..., monitor=...)`. "
                f"Received: baseline={self.path!r}, which monitored "
                f"{self.task['monitor']!r}, and never saw it"
            )

    def check(self, task):
        """Raise, naming what differs, unless a run has the same task."""
        # A learner of several patch sizes keeps a larger kernel.
        names = [name for name in task if name != "parameters"]
        differ = [name for name in names if not self._has(name, task[name])]
        if differ:
            expected = {name: self.task.get(name) for name in differ}
            received = {name: task[name] for name in differ}
            raise ValueError(
                "The baseline had another task, so that its curve says "
                "nothing of this run. Give the JSON of a uniform run with the "
                "same learner, inputs, loss and `monitor`. "
                f"Expected: {expected}, of baseline={self.path!r}. "
                f"Received: {received}"
            )

    def _has(self, name, value):
        own = self.task.get(name)
        if isinstance(value, float) and isinstance(own, float):
            return abs(value - own) <= TOLERANCE * max(abs(own), abs(value))
        return value == own

    def passed_by(self, point):
        """By how much a run has passed the best of the baseline.

        Args:
            point: dict, the end of an epoch, in JSON.

        Returns:
            A dict for JSON: the two epochs and values, and what the run
            needed as a share of what the baseline did, `None` of what that
            did not need; `None` if it has not.
        """
        value, goal = point["monitored"], self.best["monitored"]
        if value is None or not is_reached(value, goal, self.task["mode"]):
            return None
        own, others = costs(point), costs(self.best)
        return {
            "epoch": point["epoch"],
            "monitored": value,
            "baseline_epoch": self.best["epoch"],
            "baseline_monitored": goal,
            **{name: share(own[name], others[name]) for name in COSTS},
        }

    def draw(self, record, picture):
        """Draw a run beside this one, or warn why there is no picture.

        Args:
            record: dict, the ledger of a run that has ended.
            picture: str or path, where to.
        """
        runs = {"baseline": self.ledger, "this run": record}
        try:
            plot_ledgers(runs).savefig(picture, dpi=120)
        except Exception as error:  # Else all of the run would be lost.
            warnings.warn(
                "No picture was drawn; all else of the run is there. If it "
                "monitored nothing, put the callback that logs "
                f"{self.task['monitor']!r} before the ledger next time, and "
                "look for NaN. Else mend what is wrong, and draw it by "
                "`keras_jest.evaluation.plot_ledgers`. "
                f"Received: picture={str(picture)!r} ({error})",
                stacklevel=2,
            )


def costs(point):
    return {**point, "computation": point["flops"]["total"]}


def share(own, other):
    """A share of a cost, or `None`: some layers have no FLOPs counted."""
    return own / other if other else None


def passed_message(passed, monitor):
    known = [name for name in COSTS if passed[name] is not None]
    *first, last = [COSTS[name].format(passed[name]) for name in known]
    return (
        f"Epoch {passed['epoch']}: {monitor} is {passed['monitored']:.4g} and "
        f"passes the baseline's best, {passed['baseline_monitored']:.4g} in "
        f"epoch {passed['baseline_epoch']}, with "
        f"{', '.join(first)} and {last}."
    )


def step_message(step, once):
    """What a step costs in uniform ones, before the first is made."""
    if not step["uniform_flops"]:
        return (
            "A uniform step has no FLOPs that are counted, so that there is "
            "nothing to compare a step with."
        )
    text = f"A step costs {step['uniform_steps']:.2f} uniform ones"
    if step["break_even"] > 0:
        text += f": it pays if {step['break_even']:.0%} of the steps are saved"
    spent = sum(once.values()) / step["uniform_flops"]
    if spent:
        text += f", and {spent:,.0f} more for what the reference has cost"
    return f"{text}."
