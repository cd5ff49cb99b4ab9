"""What selection gains on a noisy pool that is seen several times.

    python benchmarks/noisy_pool.py --tune --arms "uniform, T" --seeds 0 \
        --json benchmarks/noisy_pool_tuning.json \
        --learning-rate 1e-3 2e-3 4e-3
    python benchmarks/noisy_pool.py --json benchmarks/noisy_pool.json

A learner is trained from the same initial weights on the pool with 70 % of
noise, uniformly and with selection, at the same sub-batch size and with the
same learning rate, which is tuned for uniform training. Everything is tuned
on concepts that the reference knows, in drawings that it has not seen, and
that the pool then lacks (`--tune`); the test vendor, whose style no model has
seen, is looked at once, without `--tune`. All that a run needs is counted by
its ledger, the training of its reference included. Results are kept in a file
after each run, so that a run that is stopped goes on from there.
"""

import functools
import os

# torch takes half of JAX's CPU time for these convolutions.
os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np
from pool_experiment import IMAGE_SIZE
from pool_experiment import SUB_BATCH
from pool_experiment import Arm
from pool_experiment import Experiment
from pool_experiment import Reference
from pool_experiment import picked_over_time
from pool_experiment import tuning_rows
from pooled_learner import SEQUENCE_LENGTH
from pooled_learner import VOCABULARY
from runs import parse
from runs import run_all
from worth import print_table

from keras_jest import FlexiJEST
from keras_jest import IndependentSelection
from keras_jest import JointSelection
from keras_jest import UniformSelection
from keras_jest.data import TarShards
from keras_jest.data import Tokenizer
from keras_jest.data import key_to_hex
from keras_jest.data import load_arrays
from keras_jest.datasets import pictograms


def easy(policy):
    return functools.partial(policy, score="easy_reference")


JOINT = Arm(0.25, JointSelection)
FLEXI = JOINT._replace(model=FlexiJEST, settings={"coarse_size": 16})
SCORED = {
    "joint": JOINT,
    "independent": Arm(0.25, IndependentSelection),
    "easy reference, joint": Arm(0.25, easy(JointSelection)),
    "easy reference, independent": Arm(0.25, easy(IndependentSelection)),
    "Flexi-JEST": FLEXI,
}
ARMS = {
    "uniform, T": Arm(1.0),
    "uniform, T/2": Arm(0.5),
    "uniform, T/4": Arm(0.25),
    "uniform, 2T": Arm(2.0),
    **{
        f"{name} {ratio}": arm._replace(filter_ratio=ratio)
        for ratio in (0.8, 0.9)
        for name, arm in SCORED.items()
    },
    "joint 0.8, T/8": JOINT._replace(steps=0.125),
    "Flexi-JEST 0.8, T/8": FLEXI._replace(steps=0.125),
    "Flexi-JEST 0.8, 0.3 T": FLEXI._replace(steps=0.3),
    "random subset 0.8": Arm(0.25, UniformSelection),
    "joint 0.8, reference as large": JOINT._replace(
        reference=Reference(width=128)
    ),
    # Trained on the noise itself, for a quarter of the steps.
    "joint 0.8, bad reference": JOINT._replace(
        reference=Reference("pool", 0.25)
    ),
    "clean pool: uniform, T": Arm(1.0, pool="clean"),
    "clean pool: joint 0.8": JOINT._replace(pool="clean"),
}


class Data:
    """The arrays of the experiment."""

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
            rows = tuning_rows(names_of(train), names_of(curated))
            test = [train[row] for row in rows]
            pool = without(pool, test)
        self.evaluation = self.arrays(test)
        makers = {
            "pool": lambda: self.arrays(pool),
            "clean": lambda: self.reworded(train, len(pool)),
            "curated": lambda: self.reworded(curated, len(pool)),
        }
        self.pool = functools.cache(lambda name: makers[name]())
        self.rows = {
            key_to_hex(key): row
            for row, key in enumerate(self.pool("pool")["key"])
        }
        sources = column([record["json"] for record in pool], "source")
        self.kinds = {"clean": sources == "clean"}

    def arrays(self, records):
        return load_arrays(records, self.tokenizer, IMAGE_SIZE, verbose=0)

    def reworded(self, records, num_pairs):
        """Clean records, each several times, moved a little and reworded."""
        fields = [record["json"] for record in records]
        arrays = self.arrays(records)
        rows = {
            "images": arrays["images"],
            "key": arrays["key"],
            "names": names_of(records),
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

    def picked(self, path):
        return picked_over_time(path, self.rows, self.kinds)


def list_records(paths):
    shards = TarShards(sorted(paths), verbose=0)
    return [shards[number] for number in range(len(shards))]


def column(fields, name):
    return np.array([field[name] for field in fields])


def names_of(records):
    return column([record["json"] for record in records], "name")


def without(pool, drawings):
    """The pairs that show other drawings than these."""
    fields = [record["json"] for record in drawings]
    rows = {f"{of['vendor']}-{of['codepoints']}" for of in fields}
    return [record for record in pool if record["json"]["row"] not in rows]


def main():
    args = parse(__doc__.splitlines()[0], ARMS, more={"sub-batch": SUB_BATCH})
    experiment = Experiment(Data(args.data, args.tune), ARMS, args)
    run_all(experiment, args, print_table)


if __name__ == "__main__":
    main()
