"""What a run has cost so far, and what one step of it costs."""

import time
from typing import NamedTuple

from keras_jest.evaluation.computation import TERMS
from keras_jest.flops.count_flops import flops_of_pass
from keras_jest.flops.model_pass import UNIFORM


class CountedPass(NamedTuple):
    """A pass, and what it costs for each row that its metric counts."""

    term: str
    counted_by: str
    flops: float


class LedgerAccount:
    """Adds up rows, FLOPs, seconds and steps, over all epochs and fits."""

    def __init__(self):
        self.passes = []
        self.once = {}  # FLOPs that were spent before the first step.
        self.sums = {
            "examples_trained": 0,
            "examples_scored": 0,
            "examples_looked_at": 0,
            "flops": dict.fromkeys(TERMS, 0.0),
        }
        self.steps = 0
        self.seconds = self.seconds_waited = 0.0
        self._since = None

    def start_clock(self):
        self._since = time.perf_counter()

    def stop_clock(self):
        """Add what has passed since the clock was started."""
        if self._since is not None:
            self.seconds += time.perf_counter() - self._since
            self._since = None

    def add(self, rows):
        """Take in the rows of an epoch, a dict of ints."""
        before, flops = self.sums, dict(self.sums["flops"])
        for of in self.passes:
            if of.term != UNIFORM:
                flops[of.term] += of.flops * rows[of.counted_by]
        trained, scored = rows["trained_rows"], rows["scored_rows"]
        looked_at = before["examples_looked_at"] + max(trained, scored)
        self.sums = {
            "examples_trained": before["examples_trained"] + trained,
            "examples_scored": before["examples_scored"] + scored,
            "examples_looked_at": looked_at,
            "flops": flops,
        }

    def spent(self):
        """What steps have cost so far."""
        if self._since is not None:
            self.stop_clock()
            self.start_clock()
        return {
            "steps": self.steps,
            **self.sums,
            "seconds": self.seconds,
            "seconds_waited": self.seconds_waited,
        }

    def point(self):
        """What the run has cost so far, for JSON."""
        spent = self.spent()
        flops = spent["flops"]
        terms = {name: flops[name] + self.once.get(name, 0) for name in flops}
        return {**spent, "flops": with_total(terms)}

    def get_state(self, sums):
        """What a run that goes on must know.

        Args:
            sums: the `sums` at the last row that is counted nowhere else.
        """
        spent = self.spent()
        names = ("steps", "seconds", "seconds_waited")
        own = {name: spent[name] for name in names}
        return {"sums": sums, "once": self.once, **own}

    def set_state(self, state):
        for name, value in state.items():
            setattr(self, name, value)


def with_total(terms):
    return {**terms, "total": sum(terms.values())}


def per_step(before, after):
    """The mean cost of the steps between two accounts of what was spent.

    Args:
        before, after: dicts that `LedgerAccount.spent` returned.

    Returns:
        A dict for JSON.
    """
    steps = max(1, after["steps"] - before["steps"])
    names = [name for name in after if name not in ("steps", "flops")]
    mean = {name: (after[name] - before[name]) / steps for name in names}
    terms = {
        name: (after["flops"][name] - before["flops"][name]) / steps
        for name in TERMS
    }
    return {**mean, "flops": with_total(terms)}


def count_passes(passes, inputs, sizes):
    """Count what each pass costs, at as many rows as it looks at.

    Args:
        passes: list of `ModelPass`.
        inputs: the inputs of a super-batch.
        sizes: dict of ints, by what counts them: rows of the first step.

    Returns:
        List of `CountedPass`.
    """
    counted = []
    for of in passes:
        size = max(1, round(of.share * sizes[of.counted_by]))
        flops = flops_of_pass(of, inputs, size) * of.share
        counted.append(CountedPass(of.term, of.counted_by, flops))
    return counted


def step_costs(passes, num_kept, num_rows):
    """What one step costs that scores, in FLOPs and in uniform steps.

    Args:
        passes: list of `CountedPass`.
        num_kept: int, the rows that it trains on.
        num_rows: int, the rows of its super-batch.

    Returns:
        A dict for JSON.
    """
    sizes = {"trained_rows": num_kept, "scored_rows": num_rows}
    terms = dict.fromkeys((*TERMS, UNIFORM), 0.0)
    for of in passes:
        terms[of.term] += of.flops * sizes[of.counted_by]
    uniform = terms.pop(UNIFORM) or terms["learner training"]
    flops = with_total(terms)
    ratio = flops["total"] / uniform if uniform else 1.0
    is_scored = any(of.counted_by == "scored_rows" for of in passes)
    return {
        "examples_trained": num_kept,
        "examples_scored": num_rows if is_scored else 0,
        "flops": flops,
        "uniform_flops": uniform,
        "uniform_steps": ratio,
        "break_even": max(0.0, 1.0 - 1.0 / ratio),
    }
