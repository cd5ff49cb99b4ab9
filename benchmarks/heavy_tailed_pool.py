"""What selection is worth on a pool as the web has it: Zipf's law, half noise.

    python benchmarks/heavy_tailed_pool.py --tune --seeds 0 \
        --json heavy_tailed_pool_tuning.json --arms "uniform, T" \
        "joint 0.8" "joint 0.8, gain 10" --learning-rate 2e-3
    python benchmarks/heavy_tailed_pool.py --json heavy_tailed_pool.json
    python benchmarks/heavy_tailed_pool.py --json heavy_tailed_pool_long.json \
        --steps 4000 --seeds 0

Few concepts make most of the pool, and in T steps a pair is hardly seen twice,
so that uniform training cannot learn the noise by heart. A run is worth as
many steps, and as much computation, as uniform training needs for the same
quality: read off the curve of uniform runs from T/4 to 4T, each with a decay
of its own, between two of them by the logarithm of steps, and never beyond.
All that a run needs is counted by its ledger, the training of its reference
included. Results are kept in a file after each run.

Everything is tuned on concepts that the reference knows, in drawings that it
has not seen (`--tune`); the test vendor is looked at once, without.
"""

import functools
import itertools
import os
import tempfile
from typing import NamedTuple

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pyarrow.parquet
from noisy_pool import batches
from noisy_pool import make_optimizer
from noisy_pool import parse
from noisy_pool import run_all
from pooled_learner import SEQUENCE_LENGTH
from pooled_learner import SUB_BATCH
from pooled_learner import VOCABULARY
from pooled_learner import make_model
from worth import curve_of
from worth import worth

from keras_jest import ConceptBalance
from keras_jest import FlexiJEST
from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest import JointSelection
from keras_jest import UniformSelection
from keras_jest.callbacks import ComputeLedger
from keras_jest.callbacks import SelectionLog
from keras_jest.data import Tokenizer
from keras_jest.data import key_to_hex
from keras_jest.datasets import pictograms
from keras_jest.evaluation import count_flops
from keras_jest.evaluation import retrieval
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import precompute

IMAGE_SIZE = 32
NUM_TUNING = 1000
REFERENCE_WIDTH = 28
NUM_TAGS = 2**13  # At least as many as there are names and keywords.
TAGS_A_ROW = 8
PARTS = 10  # of a run, for what was picked over time


class Arm(NamedTuple):
    """One way to train; steps are a share of T."""

    steps: float = 1.0
    policy: object = None
    filter_ratio: float = 0.8
    model: type = JESTModel
    settings: dict = {}


def easy(policy):
    return functools.partial(policy, score="easy_reference")


SCORED = {
    "independent": Arm(policy=IndependentSelection),
    "joint": Arm(policy=JointSelection),
    "easy reference, independent": Arm(policy=easy(IndependentSelection)),
    "easy reference, joint": Arm(policy=easy(JointSelection)),
    "Flexi-JEST": Arm(
        policy=JointSelection, model=FlexiJEST, settings={"coarse_size": 16}
    ),
}
ARMS = {
    **{
        f"uniform, {name}": Arm(steps)
        for name, steps in [
            ("T/4", 0.25),
            ("T/2", 0.5),
            ("T", 1.0),
            ("2T", 2.0),
            ("4T", 4.0),
        ]
    },
    "random subset 0.8": Arm(policy=UniformSelection),
    "concept balance 0.8": Arm(
        policy=functools.partial(ConceptBalance, NUM_TAGS)
    ),
    **{
        f"{name} {ratio}": arm._replace(filter_ratio=ratio)
        for ratio in (0.8, 0.9)
        for name, arm in SCORED.items()
    },
}
# Tried on the tuning rows alone.
EXPLORED = {
    **{
        f"joint 0.8, {number} chunks": Arm(
            policy=functools.partial(JointSelection, num_chunks=number)
        )
        for number in (1, 4, 64)
    },
    **{
        f"{name}, gain {gain:g}": Arm(
            policy=functools.partial(policy, gain=gain)
        )
        for name, policy in [
            ("joint 0.8", JointSelection),
            ("independent 0.8", IndependentSelection),
        ]
        for gain in (0.1, 0.3, 3.0, 10.0, float("inf"))
    },
}


class Data:
    """The arrays of the experiment, all from drawings in the package."""

    def __init__(self, args):
        train, curated, test = pictograms.load_data(image_size=IMAGE_SIZE)
        rows = tuning_rows(train, curated)
        tuning = {name: values[rows] for name, values in train.items()}
        others = np.setdiff1d(np.arange(len(train["names"])), rows)
        train = {name: values[others] for name, values in train.items()}
        pool = pictograms.web_pool(
            train, args.clean_share, args.num_pairs, 0, args.concept_exponent
        )
        good = pictograms.web_pool(curated, 1.0, args.num_curated, seed=1)
        captions = [*pool["captions"], *good["captions"]]
        self.tokenizer = Tokenizer.train(
            list(map(str, captions)), VOCABULARY, SEQUENCE_LENGTH
        )
        self.pool, self.curated = self.inputs(pool), self.inputs(good)
        # As the best tagger of pictures would have it: -1 shows nothing.
        tags = np.concatenate([tags_of(train), np.full((1, TAGS_A_ROW), -1)])
        self.pool["concepts"] = tags[pool["row"]].astype("int32")
        self.evaluation = self.inputs(tuning if args.tune else test)
        self.rows = {
            key_to_hex(key): row for row, key in enumerate(pool["key"])
        }
        self.is_clean = pool["source"] == "clean"
        self.is_rare = is_rare(pool["concept"])

    def inputs(self, split):
        captions = [str(caption) for caption in split["captions"]]
        return {
            "images": split["images"],
            "token_ids": self.tokenizer(captions),
            "key": split["key"],
        }

    def picked(self, path):
        """What a log's picks were, in ten parts of the run."""
        table = pyarrow.parquet.read_table(path, columns=["step", "key"])
        steps = table["step"].to_numpy()
        rows = np.array([self.rows[k] for k in table["key"].to_pylist()])
        _, first = np.unique(rows, return_index=True)
        is_repeated = np.ones(len(rows), bool)
        is_repeated[first] = False
        part = (steps - steps[0]) * PARTS // (steps[-1] - steps[0] + 1)
        kinds = {
            "clean": self.is_clean[rows],
            "rare": self.is_rare[rows],
            "repeated": is_repeated,
        }
        return {
            name: [round(float(of[part == i].mean()), 4) for i in range(PARTS)]
            for name, of in kinds.items()
        }


def tags_of(rows):
    """What each drawing shows, its name and keywords: ints, -1 is none."""
    texts = [
        [name, *keywords.split(", ")][:TAGS_A_ROW]
        for name, keywords in zip(
            rows["names"].tolist(), rows["keywords"].tolist(), strict=True
        )
    ]
    known = sorted(set(itertools.chain(*texts)) - {""})
    number = {tag: n for n, tag in enumerate(known)}
    tags = np.full((len(texts), TAGS_A_ROW), -1)
    for row, of in enumerate(texts):
        found = [number[tag] for tag in of if tag]
        tags[row, : len(found)] = found
    return tags


def tuning_rows(train, curated):
    """One drawing each of some concepts that the reference knows."""
    order = np.random.default_rng(5).permutation(len(train["names"]))
    known = order[np.isin(train["names"][order], curated["names"])]
    _, first = np.unique(train["names"][known], return_index=True)
    return np.sort(known[np.sort(first)[:NUM_TUNING]])


def is_rare(concepts):
    """Rows of the concepts that are not of the commonest half of all rows."""
    counts = np.bincount(concepts[concepts >= 0])
    order = np.argsort(-counts)
    is_common = np.cumsum(counts[order]) <= counts.sum() / 2
    return ~np.isin(concepts, order[is_common]) & (concepts >= 0)


class Experiment:
    """Runs arms, and what they need once: a reference and its pairs."""

    def __init__(self, data, args):
        self.data, self.args = data, args
        self.reference = functools.cache(self.make_reference)
        self.pairs = functools.cache(self.make_pairs)

    def make_reference(self):
        model = make_model(seed=100, width=self.args.reference_width)
        steps = self.args.reference_steps
        fit(JESTModel(model), self.data.curated, SUB_BATCH, steps, 2e-3, 100)
        return model

    def make_pairs(self):
        return precompute(self.reference(), self.data.pool, 128, "float32", 0)

    def run(self, name, seed, learning_rate):
        arm = {**ARMS, **EXPLORED}[name]
        steps = round(self.args.steps * arm.steps)
        policy, size = None, SUB_BATCH
        if arm.policy is not None:
            policy = arm.policy(arm.filter_ratio, SUB_BATCH)
            size = round(SUB_BATCH / (1 - arm.filter_ratio))
        scores = policy is not None and bool(policy.needs)
        arrays, reference = dict(self.data.pool), None
        if scores:
            pairs, reference = self.pairs()
            arrays.update(pairs)
        learner = make_model(seed)
        memory = policy if isinstance(policy, keras.layers.Layer) else None
        model = arm.model(
            learner, reference, seed=seed, policy=memory, **arm.settings
        )
        ledger = self.ledger(scores)
        path = os.path.join(tempfile.mkdtemp(), "picks.parquet")
        callbacks = [ledger, *([SelectionLog(path)] if policy else [])]
        fit(model, arrays, size, steps, learning_rate, seed, policy, callbacks)
        point = ledger.record["epochs"][-1]
        return {
            "arm": name,
            "seed": seed,
            "learning_rate": learning_rate,
            "uniform": policy is None,
            "steps": steps,
            "trained": point["examples_trained"],
            "scored": point["examples_scored"],
            "flops": point["flops"],
            "picked": self.data.picked(path) if policy else None,
            "quality": self.quality(learner),
        }

    def ledger(self, scores):
        if not scores:
            return ComputeLedger(verbose=0)
        batch = {of: self.data.pool[of][:SUB_BATCH] for of in self.data.pool}
        return ComputeLedger(
            num_reference=self.args.reference_steps * SUB_BATCH,
            num_stored=len(self.data.pool["images"]),
            reference_flops=count_flops(self.reference(), batch),
            verbose=0,
        )

    def quality(self, learner):
        """R@10, averaged over both directions."""
        inputs = {of: self.data.evaluation[of] for of in learner.input_keys}
        pairs = learner.predict(inputs, batch_size=128, verbose=0)
        return float(np.mean(list(retrieval(pairs, ks=(10,)).values())))


def fit(model, arrays, size, steps, rate, seed, policy=None, callbacks=()):
    """Train a model on batches of a size, uniformly without a policy."""
    model.compile(
        make_optimizer(model.learner, steps, rate),
        loss=SigmoidContrastiveLoss(),
        selection=policy,
        scoring_batch_size=SUB_BATCH,
    )
    model.fit(
        batches(arrays, size, steps, seed),
        steps_per_epoch=steps,
        shuffle=False,
        callbacks=list(callbacks),
        verbose=2,
    )


def print_table(results):
    """Mean quality, its standard error, and what it is worth."""
    curve = curve_of(results)
    groups = {}
    for row in results:
        groups.setdefault((row["arm"], row["learning_rate"]), []).append(row)
    print(
        f"{'arm':32s} {'lr':>6s} {'R@10':>6s} {'s.e.':>6s} {'steps':>6s} "
        f"{'worth':>6s} {'GFLOPs':>8s} {'worth':>6s} {'clean':>6s} "
        f"{'rare':>6s} {'again':>6s}"
    )
    for (name, rate), rows in groups.items():
        qualities = [row["quality"] for row in rows]
        error = np.nan
        if len(rows) > 1:
            error = np.std(qualities, ddof=1) / np.sqrt(len(rows))
        steps, total = rows[0]["steps"], rows[0]["flops"]["total"]
        in_steps, in_flops = worth(np.mean(qualities), curve)
        print(
            f"{name:32s} {rate:6.0e} {np.mean(qualities):6.3f} {error:6.3f} "
            f"{steps:6d} {in_steps / steps:6.2f} {total / 1e9:8.0f} "
            f"{in_flops / total:6.2f} {shares(rows)}"
        )


def shares(rows):
    """Means over seeds and the whole run, of what was picked."""
    if rows[0]["picked"] is None:
        return ""
    means = [
        np.mean([row["picked"][kind] for row in rows])
        for kind in ("clean", "rare", "repeated")
    ]
    return " ".join(f"{mean:6.0%}" for mean in means)


def main():
    args = parse(
        __doc__.splitlines()[0],
        ARMS,
        more={
            "clean-share": 0.5,
            "num-pairs": 120_000,
            # Wordings of the drawings that the reference sees.
            "num-curated": 20_000,
            "concept-exponent": 1.0,
            "reference-width": REFERENCE_WIDTH,
        },
    )
    experiment = Experiment(Data(args), args)
    run_all(experiment, args, print_table)


if __name__ == "__main__":
    main()
