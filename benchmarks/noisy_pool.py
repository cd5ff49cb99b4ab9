"""What selection gains on a noisy pool, on three axes.

    python benchmarks/noisy_pool.py --tune --arms "uniform, T" --seeds 0 \
        --learning-rate 3e-4 6e-4 1e-3 2e-3
    python benchmarks/noisy_pool.py --json benchmarks/noisy_pool.json

A learner is trained from the same initial weights on the pool with 70 % of
noise, uniformly and with selection, at the same sub-batch size and with the
same learning rate, which is tuned for uniform training. Everything is tuned
on curated rows kept from the reference (`--tune`); the test vendor, whose
style no model has seen, is looked at once, without `--tune`. Results are kept
in a file after each run, so that a run that is stopped goes on from there.
"""

import argparse
import functools
import json
import math
import os
import pathlib
import tempfile
from typing import NamedTuple

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pyarrow.parquet
from keras import layers

from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest import JointSelection
from keras_jest import UniformSelection
from keras_jest.callbacks import SelectionLog
from keras_jest.data import TarShards
from keras_jest.data import Tokenizer
from keras_jest.data import key_to_hex
from keras_jest.data import load_arrays
from keras_jest.data.whole_file import whole_file
from keras_jest.datasets import pictograms
from keras_jest.evaluation import retrieval
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder
from keras_jest.models import precompute

IMAGE_SIZE = 32
SUB_BATCH = 128
NUM_TUNING = 371
WIDTH = 128
VOCABULARY = 2000
SEQUENCE_LENGTH = 16


class Arm(NamedTuple):
    """One way to train; steps are a share of T."""

    steps: float
    policy: object = None
    filter_ratio: float = 0.0
    reference: str = "curated"
    pool: str = "noisy"


def easy_reference(filter_ratio):
    return JointSelection(filter_ratio, score="easy_reference")


ARMS = {
    "uniform, T": Arm(1.0),
    "uniform, T/2": Arm(0.5),
    "uniform, T/4": Arm(0.25),
    "joint 0.8": Arm(0.25, JointSelection, 0.8),
    "joint 0.9": Arm(0.25, JointSelection, 0.9),
    "joint 0.9, T/8": Arm(0.125, JointSelection, 0.9),
    "independent 0.8": Arm(0.25, IndependentSelection, 0.8),
    "independent 0.9": Arm(0.25, IndependentSelection, 0.9),
    "easy reference 0.8": Arm(0.25, easy_reference, 0.8),
    "easy reference 0.9": Arm(0.25, easy_reference, 0.9),
    "random subset 0.8": Arm(0.25, UniformSelection, 0.8),
    # As many forward passes as joint selection at 0.8 with cached pairs.
    "uniform, equal computation": Arm(0.25 * (3 + 5) / 3),
    "joint 0.8, bad reference": Arm(0.25, JointSelection, 0.8, "bad"),
    "clean pool: uniform, T": Arm(1.0, pool="clean"),
    "clean pool: joint 0.8": Arm(0.25, JointSelection, 0.8, pool="clean"),
}


class Data:
    """The arrays of the experiment.

    A reference for tuning keeps off the rows that are tuned on. The one of
    the test sees all curated rows: each is a concept that no other row has.
    """

    def __init__(self, folder, tune):
        train, curated, test, pool = (
            list_records(folder.glob(pattern))
            for pattern in (
                "pictograms/train-*.tar",
                "pictograms/curated-*.tar",
                "pictograms/test-*.tar",
                "pictograms_web30/*.tar",
            )
        )
        captions = [record["text"] for record in [*pool, *curated]]
        self.tokenizer = Tokenizer.train(captions, VOCABULARY, SEQUENCE_LENGTH)
        if tune:
            order = np.random.default_rng(5).permutation(len(curated))
            curated = [curated[row] for row in order]
            test, curated = curated[:NUM_TUNING], curated[NUM_TUNING:]
        self.evaluation = self.arrays(test)
        makers = {
            "noisy": lambda: self.arrays(pool),
            "clean": lambda: self.reworded(train, len(pool)),
            "curated": lambda: self.reworded(curated, len(pool)),
        }
        self.pool = functools.cache(lambda name: makers[name]())
        self.kinds = {
            key_to_hex(key): record["json"]["source"]
            for key, record in zip(self.pool("noisy")["key"], pool, strict=True)
        }

    def arrays(self, records):
        return load_arrays(records, self.tokenizer, IMAGE_SIZE, verbose=0)

    def reworded(self, records, num_pairs):
        """Clean records, each several times, moved a little and reworded."""
        fields = [record["json"] for record in records]
        arrays = self.arrays(records)
        rows = {
            "images": arrays["images"],
            "key": arrays["key"],
            "names": column(fields, "name"),
            "groups": column(fields, "group"),
            "subgroups": column(fields, "subgroup"),
            "styles": column(fields, "vendor"),
            "keywords": np.array([", ".join(f["keywords"]) for f in fields]),
        }
        pool = pictograms.web_pool(rows, 1.0, num_pairs, seed=1)
        captions = [str(caption) for caption in pool["captions"]]
        return {
            "images": pool["images"],
            "token_ids": self.tokenizer(captions),
            "key": pool["key"],
        }

    def clean_share(self, path):
        """Of the picks in a file."""
        keys = pyarrow.parquet.read_table(path)["key"].to_pylist()
        kinds = [self.kinds.get(key, "clean") for key in keys]
        return float(np.mean(np.array(kinds) == "clean"))


def list_records(paths):
    shards = TarShards(sorted(paths), verbose=0)
    return [shards[number] for number in range(len(shards))]


def column(fields, name):
    return np.array([field[name] for field in fields])


def make_model(seed, width=WIDTH, **logits):
    """A small convolutional net and a bag of words.

    They learn from 1,000 steps; transformers of this size do not. The bias
    starts at the odds of a batch, as SigLIP's -10 does for 32,768 pairs.
    """
    keras.utils.set_random_seed(seed)
    image_encoder = keras.Sequential(
        [
            keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3)),
            layers.Rescaling(1 / 127.5, offset=-1.0),
            *convolution(width // 4),
            *convolution(width // 2),
            *convolution(width),
            layers.Flatten(),
            layers.LayerNormalization(),
            layers.Dense(2 * width, activation="gelu"),
            layers.Dense(width),
        ]
    )
    text_encoder = keras.Sequential(
        [
            keras.Input((SEQUENCE_LENGTH,), dtype="int32"),
            layers.Embedding(VOCABULARY, width),
            layers.GlobalAveragePooling1D(),
            layers.LayerNormalization(),
            layers.Dense(width),
        ]
    )
    logits.setdefault("logit_bias", -math.log(SUB_BATCH))
    return DualEncoder(image_encoder, text_encoder, **logits)


def convolution(filters):
    return [
        layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(momentum=0.9),
        layers.Activation("gelu"),
    ]


def make_optimizer(model, steps, learning_rate):
    warm_up = max(1, steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up, warmup_target=learning_rate, warmup_steps=warm_up
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=0.1, beta_2=0.95, global_clipnorm=1.0
    )
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.variables if v.name != "kernel"]
    )
    return optimizer


def batches(arrays, size, steps, seed):
    """Whole batches of a pool in random order, epoch after epoch."""
    generator = np.random.default_rng(seed)
    order = np.empty(0, int)
    for _ in range(steps):
        if len(order) < size:
            epoch = generator.permutation(len(arrays["images"]))
            order = np.concatenate([order, epoch])
        rows, order = order[:size], order[size:]
        yield ({name: values[rows] for name, values in arrays.items()},)


def train(
    learner,
    arrays,
    steps,
    learning_rate,
    seed,
    arm=None,
    log=None,
    reference=None,
):
    """Train a learner; without an arm, uniformly on whole sub-batches."""
    policy, size = None, SUB_BATCH
    if arm is not None and arm.policy is not None:
        policy = arm.policy(arm.filter_ratio)
        policy.sub_batch_size = SUB_BATCH
        size = round(SUB_BATCH / (1 - arm.filter_ratio))
    model = JESTModel(learner, reference, seed=seed)
    model.compile(
        make_optimizer(learner, steps, learning_rate),
        loss=SigmoidContrastiveLoss(),
        selection=policy,
        scoring_batch_size=SUB_BATCH,
    )
    model.fit(
        batches(arrays, size, steps, seed),
        steps_per_epoch=steps,
        shuffle=False,
        callbacks=[log] if log else [],
        verbose=2,
    )
    return size


class Experiment:
    """Runs arms, and what they need once: references and their pairs."""

    def __init__(self, data, args):
        self.data = data
        self.args = args
        # Each is made once, and kept.
        self.reference = functools.cache(self.make_reference)
        self.pairs = functools.cache(self.make_pairs)

    def make_reference(self, kind):
        """A model trained on curated rows, or a bad one, trained on noise."""
        pool = {"curated": "curated", "bad": "noisy"}[kind]
        steps = self.args.reference_steps
        if kind == "bad":
            steps = self.args.steps // 4
        model = make_model(seed=100)
        train(model, self.data.pool(pool), steps, 2e-3, seed=100)
        return model

    def make_pairs(self, kind, pool):
        return precompute(
            self.reference(kind), self.data.pool(pool), 128, "float32", 0
        )

    def run(self, name, seed, learning_rate):
        arm = ARMS[name]
        steps = round(self.args.steps * arm.steps)
        arrays, reference, log = dict(self.data.pool(arm.pool)), None, None
        scores = arm.policy not in (None, UniformSelection)
        path = os.path.join(tempfile.mkdtemp(), "picks.parquet")
        if scores:
            embeddings, reference = self.pairs(arm.reference, arm.pool)
            arrays.update(embeddings)
            log = SelectionLog(path)
        learner = make_model(seed)
        size = train(
            learner, arrays, steps, learning_rate, seed, arm, log, reference
        )
        scored = steps * size if scores else 0
        reference_pass = len(arrays["images"]) if scores else 0
        return {
            "arm": name,
            "seed": seed,
            "learning_rate": learning_rate,
            "steps": steps,
            "trained": steps * SUB_BATCH,
            "scored": scored,
            "computation": 3 * steps * SUB_BATCH + scored + reference_pass,
            "reference_training": self.reference_training(arm, scores),
            "clean": self.data.clean_share(path) if scores else None,
            "quality": self.quality(learner),
        }

    def reference_training(self, arm, scores):
        if not scores:
            return 0
        steps = self.args.reference_steps
        if arm.reference == "bad":
            steps = self.args.steps // 4
        return 3 * steps * SUB_BATCH

    def quality(self, learner):
        """R@10, averaged over both directions."""
        arrays = self.data.evaluation
        inputs = {name: arrays[name] for name in learner.input_keys}
        recalls = retrieval(
            learner.predict(inputs, batch_size=128, verbose=0), ks=(10,)
        )
        return float(np.mean(list(recalls.values())))


def by_arm(results):
    groups = {}
    for row in results:
        groups.setdefault((row["arm"], row["learning_rate"]), []).append(row)
    return groups


def print_table(results):
    """Mean and spread of each arm, and its cost on three axes."""
    print(
        f"{'arm':28s} {'R@10':>6s} {'spread':>7s} {'lr':>6s} {'clean':>6s} "
        f"{'trained':>9s} {'scored':>9s} {'comput.':>9s} {'+ref.':>9s}"
    )
    for (name, rate), rows in by_arm(results).items():
        qualities = [row["quality"] for row in rows]
        spread = np.std(qualities, ddof=1) if len(rows) > 1 else np.nan
        first = rows[0]
        cleans = [row["clean"] for row in rows if row["clean"] is not None]
        clean = f"{np.mean(cleans):6.0%}" if cleans else f"{'':6s}"
        total = first["computation"] + first["reference_training"]
        print(
            f"{name:28s} {np.mean(qualities):6.3f} {spread:7.3f} "
            f"{rate:6.0e} {clean} {first['trained']:9,d} "
            f"{first['scored']:9,d} {first['computation']:9,d} {total:9,d}"
        )


def parse(description, arms, more=(), **defaults):
    """The arguments of the benchmarks on pools of drawings.

    Args:
        description: str.
        arms: iterable of str.
        more: dict of further numbers, by their names, with their defaults.
        **defaults: other defaults.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=pathlib.Path, default="../shared/data")
    parser.add_argument("--arms", nargs="+", default=list(arms))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1000, help="T")
    parser.add_argument("--reference-steps", type=int, default=1000)
    parser.add_argument(
        "--learning-rate", type=float, nargs="+", default=[2e-3]
    )
    parser.add_argument(
        "--tune", action="store_true", help="look at the tuning rows"
    )
    parser.add_argument("--json", type=pathlib.Path, help="results, kept")
    for name, value in dict(more).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.set_defaults(**defaults)
    return parser.parse_args()


def run_all(experiment, args, print_table):
    """Run what is not in the file yet, and keep each result there."""
    results = []
    if args.json and args.json.exists():
        results = json.loads(args.json.read_text())
    done = {(r["arm"], r["seed"], r["learning_rate"]) for r in results}
    for seed in args.seeds:
        for name in args.arms:
            for rate in args.learning_rate:
                if (name, seed, rate) in done:
                    continue
                results.append(experiment.run(name, seed, rate))
                if args.json:
                    with whole_file(args.json) as file:
                        file.write(as_lines(results).encode())
                print_table(results[-1:])
    print_table(results)


def as_lines(results):
    """JSON with a run on each line."""
    return "[\n" + ",\n".join(map(json.dumps, results)) + "\n]\n"


def main():
    args = parse(__doc__.splitlines()[0], ARMS)
    experiment = Experiment(Data(args.data, args.tune), args)
    run_all(experiment, args, print_table)


if __name__ == "__main__":
    main()
