"""The protocol where small models choose for a large one: arms and ledger.

Runs are compared with uniform training for T steps: how many updates they
need for its final quality, and how much computation, in five terms.
"""

import math
from typing import NamedTuple

import numpy as np
from runs import by_arm

from keras_jest import IndependentSelection
from keras_jest.evaluation import computation


class Arm(NamedTuple):
    """One way to train.

    Steps are a share of T; `None` is as many as cost what learnability
    costs, its reference included. `variant` is the experiment's own.
    """

    steps: float | None
    policy: object = None
    online: bool = False
    reference: bool = False
    variant: str | None = None

    @property
    def scores(self):
        return self.online or self.reference

    @property
    def learner_scores(self):
        """Not where an online model does, or the reference alone."""
        needs = self.policy.needs if self.policy else ()
        return not self.online and "learner" in needs

    @property
    def draws(self):
        return self.scores and self.policy.gain < math.inf


def keep_half(score, gain=1.0):
    return IndependentSelection(0.5, score=score, gain=gain)


class Experiment:
    """Runs arms and counts what they cost.

    Args:
        arms: dict of `Arm` by name.
        equal: name of the arm whose computation others are given.
        flops: forward multiply-adds of learner and scorer on one example.
        sub_batch: int, how many examples a step trains on.
        args: `steps`, which is T, and `reference_steps`.
    """

    def __init__(self, arms, equal, flops, sub_batch, args):
        self.arms, self.equal, self.flops = arms, arms[equal], flops
        self.sub_batch, self.args = sub_batch, args

    def run(self, name, seed, learning_rate):
        arm = self.arms[name]
        steps = self.num_steps(arm)
        num_drawn = self.sub_batch * (2 if arm.policy else 1)
        return {
            "arm": name,
            "seed": seed,
            "learning_rate": learning_rate,
            "steps": steps,
            "updates": steps / self.args.steps,
            "drawn": steps * num_drawn,
            "computation": self.cost(arm, steps),
            **self.train(arm, seed, steps, learning_rate),
        }

    def train(self, arm, seed, steps, learning_rate):
        """Make one run.

        Returns:
            Dict of `quality`, a list, seen `every` so many steps; the share
            of `clean` picks and the `log_spread`, or `None`.
        """
        raise NotImplementedError

    def num_steps(self, arm):
        if arm.steps is not None:
            return round(self.args.steps * arm.steps)
        total = self.cost(self.equal, self.num_steps(self.equal))["total"]
        return round(self.args.steps * total)

    def cost(self, arm, steps):
        """The five terms; all that uniform training for T steps costs is 1."""
        learner, scorer = self.flops
        size = self.sub_batch
        whole = computation(learner, self.args.steps * size)["total"]
        terms = computation(
            learner,
            num_trained=steps * size,
            num_scored=2 * steps * size if arm.scores else 0,
            online=scorer if arm.online else 0.0,
            reference=scorer if arm.reference else 0.0,
            learner_scores=arm.learner_scores,
            num_reference=self.args.reference_steps * size,
        )
        return {name: terms[name] / whole for name in terms}


def print_table(results, quality="quality"):
    """What each arm reached, and what it cost."""
    groups = by_arm(results)
    print(
        f"\n{'arm':33s} {'lr':>6s} {quality:>8s} {'std':>6s} {'updates':>7s} "
        f"{'drawn':>8s} {'clean':>6s} {'spread':>6s}   goal reached at"
    )
    for (name, rate), rows in groups.items():
        mean, std = mean_and_std([row["quality"][-1] for row in rows])
        clean, _ = mean_and_std([row["clean"] for row in rows])
        spread, _ = mean_and_std([row["log_spread"] for row in rows])
        line = (
            f"{name:33s} {rate:6.0e} {mean:8.3f} {std:6.3f} "
            f"{rows[0]['updates']:7.2f} {rows[0]['drawn']:8,d} "
            f"{clean:6.1%} {spread:6.2f}   {reached(rows, results)}"
        )
        print(line.replace("nan%", "    ").replace("nan", "   "))
    print_computation(groups)


def mean_and_std(values):
    values = np.array(values, float)
    std = np.std(values, ddof=1) if len(values) > 1 else math.nan
    return np.mean(values), std


def reached(rows, results):
    """When runs first reach the mean final quality of uniform training."""
    before, mark, _ = rows[0]["arm"].rpartition(": ")
    uniform = f"{before}{mark}uniform, T"
    finals = [row["quality"][-1] for row in results if row["arm"] == uniform]
    if not finals:
        return ""
    goal = np.mean(finals)
    points = [cost_to(goal, row) for row in rows if max(row["quality"]) >= goal]
    text = f"{len(points)} of {len(rows)}"
    if points:
        updates, computed = np.mean(points, axis=0)
        text += f": {updates:.0%} of updates, {computed:.2f} of computation"
    return text


def cost_to(goal, row):
    """Updates and computation up to a quality, as shares of uniform T's."""
    looks = 1 + np.argmax(np.array(row["quality"]) >= goal)
    part = min(1.0, looks * row["every"] / row["steps"])
    terms = row["computation"]
    once = terms["reference training"]
    return part * row["updates"], once + part * (terms["total"] - once)


def print_computation(groups):
    """The five terms of each arm, in units of uniform T's total."""
    names = list(next(iter(groups.values()))[0]["computation"])
    print(f"\n{'computation':33s} {'  '.join(names)}")
    for (name, _), rows in groups.items():
        terms = rows[0]["computation"]
        cells = [f"{terms[term]:{len(term)}.3f}" for term in names]
        print(f"{name:33s} {'  '.join(cells)}")
    print(flush=True)
