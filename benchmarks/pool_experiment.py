"""Runs of the pooled learner on pools of drawings, counted by the ledger."""

import functools
import os
import tempfile
from typing import NamedTuple

import keras
import numpy as np
import pyarrow.parquet
from pooled_learner import make_model
from runs import batches
from runs import make_optimizer

from keras_jest import JESTModel
from keras_jest.callbacks import ComputeLedger
from keras_jest.callbacks import SelectionLog
from keras_jest.evaluation import count_flops
from keras_jest.evaluation import retrieval
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import precompute

IMAGE_SIZE = 32
SUB_BATCH = 128
NUM_TUNING = 1000
PARTS = 10  # of a run, for what was picked over time


class Reference(NamedTuple):
    """A model trained on a pool; its steps are a share of those asked for.

    At width 28 it costs a seventeenth of the learner.
    """

    pool: str = "curated"
    steps: float = 1.0
    width: int = 28


class Arm(NamedTuple):
    """One way to train; steps are a share of T.

    The first ones, a share of the run, may be uniform.
    """

    steps: float = 1.0
    policy: object = None
    filter_ratio: float = 0.8
    model: type = JESTModel
    settings: dict = {}
    reference: Reference = Reference()
    pool: str = "pool"
    first_uniform: float = 0.0


class Experiment:
    """Runs arms, and what they need once: references and their pairs.

    Args:
        data: has `pool(name)`, a dict of arrays; `evaluation`, another; and
            `picked(path)`, what a log's picks were.
        arms: dict of `Arm`s by their names.
        args: parsed, with `steps`, `reference_steps` and `sub_batch`.
    """

    def __init__(self, data, arms, args):
        self.data, self.arms, self.args = data, arms, args
        self.reference = functools.cache(self.make_reference)
        self.pairs = functools.cache(self.make_pairs)

    def reference_steps(self, reference):
        return round(self.args.reference_steps * reference.steps)

    def make_reference(self, reference):
        model = make_model(100, reference.width)
        arrays, steps = self.data.pool(reference.pool), self.reference_steps
        fit(JESTModel(model), arrays, SUB_BATCH, steps(reference), 2e-3, 100)
        return model

    def make_pairs(self, reference, pool):
        model, arrays = self.reference(reference), self.data.pool(pool)
        return precompute(model, arrays, 128, "float32", 0)

    def run(self, name, seed, learning_rate):
        arm, sub_batch = self.arms[name], self.args.sub_batch
        steps = round(self.args.steps * arm.steps)
        policy, size = None, sub_batch
        if arm.policy is not None:
            policy = arm.policy(arm.filter_ratio, sub_batch)
            size = round(sub_batch / (1 - arm.filter_ratio))
        scores = policy is not None and bool(policy.needs)
        arrays, reference = dict(self.data.pool(arm.pool)), None
        if scores:
            pairs, reference = self.pairs(arm.reference, arm.pool)
            arrays.update(pairs)
        learner = make_model(seed, sub_batch=sub_batch)
        memory = policy if isinstance(policy, keras.layers.Layer) else None
        model = arm.model(
            learner, reference, seed=seed, policy=memory, **arm.settings
        )
        ledger = self.ledger(arm, scores)
        path = os.path.join(tempfile.mkdtemp(), "picks.parquet")
        callbacks = [ledger, *([SelectionLog(path)] if policy else [])]
        first = round(steps * arm.first_uniform)
        data = (arrays, size, steps)
        fit(model, *data, learning_rate, seed, policy, callbacks, first)
        point = ledger.record["epochs"][-1]
        return {
            "arm": name,
            "seed": seed,
            "learning_rate": learning_rate,
            "uniform": policy is None and arm.pool == "pool",
            "steps": steps,
            "seen": steps * size,
            "trained": point["examples_trained"],
            "scored": point["examples_scored"],
            "flops": point["flops"],
            "picked": self.picked(path, arm),
            "scores": scores_over_time(path) if scores else None,
            "quality": self.quality(learner),
            "reference_quality": (
                self.quality(self.reference(arm.reference)) if scores else None
            ),
        }

    def picked(self, path, arm):
        if arm.policy is None or arm.pool != "pool":
            return None
        return self.data.picked(path)

    def ledger(self, arm, scores):
        if not scores:
            return ComputeLedger(verbose=0)
        pool = self.data.pool(arm.pool)
        batch = {of: pool[of][:SUB_BATCH] for of in pool}
        return ComputeLedger(
            num_reference=self.reference_steps(arm.reference) * SUB_BATCH,
            num_stored=len(pool["images"]),
            reference_flops=count_flops(self.reference(arm.reference), batch),
            verbose=0,
        )

    def quality(self, learner):
        """R@10, averaged over both directions."""
        inputs = {of: self.data.evaluation[of] for of in learner.input_keys}
        pairs = learner.predict(inputs, batch_size=128, verbose=0)
        return float(np.mean(list(retrieval(pairs, ks=(10,)).values())))


def fit(
    model, arrays, size, steps, rate, seed, policy=None, callbacks=(), first=0
):
    """Train a model on batches of a size.

    Uniformly without a policy, and before its first step.
    """
    model.compile(
        make_optimizer(model.learner, steps, rate),
        loss=SigmoidContrastiveLoss(),
        selection=policy,
        first_step=first,
        scoring_batch_size=SUB_BATCH,
    )
    model.fit(
        batches(arrays, size, steps, seed),
        steps_per_epoch=steps,
        shuffle=False,
        callbacks=list(callbacks),
        verbose=2,
    )


def tuning_rows(names, known_names):
    """One drawing each of some concepts that the reference knows."""
    order = np.random.default_rng(5).permutation(len(names))
    known = order[np.isin(names[order], known_names)]
    _, first = np.unique(names[known], return_index=True)
    return np.sort(known[np.sort(first)[:NUM_TUNING]])


def picked_over_time(path, row_of, kinds):
    """Which share of a log's picks is of each kind, in ten parts of a run.

    Args:
        path: of a `SelectionLog`.
        row_of: dict, from a key as hexadecimal text to its row in the pool.
        kinds: dict of bool arrays over the pool's rows.
    """
    table = pyarrow.parquet.read_table(path, columns=["step", "key"])
    rows = np.array([row_of[key] for key in table["key"].to_pylist()])
    _, first = np.unique(rows, return_index=True)
    is_repeated = np.ones(len(rows), bool)
    is_repeated[first] = False
    kinds = {name: of[rows] for name, of in kinds.items()}
    kinds["repeated"] = is_repeated
    steps = table["step"].to_numpy()
    return {name: over_time(steps, of) for name, of in kinds.items()}


def scores_over_time(path):
    """The mean score of a log's picks, in ten parts of a run."""
    table = pyarrow.parquet.read_table(path, columns=["step", "score"])
    return over_time(table["step"].to_numpy(), table["score"].to_numpy())


def over_time(steps, values):
    """The mean of each of ten parts of a run."""
    num_steps = steps[-1] - steps[0] + 1
    parts = min(PARTS, num_steps)
    part = (steps - steps[0]) * parts // num_steps
    means = [float(values[part == i].mean()) for i in range(parts)]
    return [round(of, 4) for of in means]
