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
from worth import difference
from worth import print_table

from keras_jest import ConceptBalance
from keras_jest import FlexiJEST
from keras_jest import IndependentSelection
from keras_jest import JointSelection
from keras_jest import UniformSelection
from keras_jest.data import Tokenizer
from keras_jest.data import key_to_hex
from keras_jest.datasets import pictograms

NUM_TAGS = 2**13  # At least as many as there are names and keywords.
TAGS_A_ROW = 9  # No drawing has more.


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
UNIFORM = {
    f"uniform, {name}": Arm(steps)
    for name, steps in [
        ("T/4", 0.25),
        ("T/2", 0.5),
        ("T", 1.0),
        ("2T", 2.0),
        ("4T", 4.0),
    ]
}
ARMS = {
    **UNIFORM,
    "random subset 0.8": Arm(policy=UniformSelection),
    "concept balance 0.8": Arm(
        policy=functools.partial(ConceptBalance, NUM_TAGS)
    ),
    **{
        f"{name} {ratio}": arm._replace(filter_ratio=ratio)
        for ratio in (0.8, 0.9)
        for name, arm in SCORED.items()
    },
    **{
        f"easy reference, joint 0.8, {text}": SCORED[
            "easy reference, joint"
        ]._replace(first_uniform=share)
        for text, share in [("second half", 0.5), ("last quarter", 0.75)]
    },
}
# Tried on the tuning rows alone.
CHUNKS = {
    f"joint 0.8, {number} chunks": Arm(
        policy=functools.partial(JointSelection, num_chunks=number)
    )
    for number in (1, 4, 64)
}
GAINS = {
    f"{name}, gain {gain:g}": Arm(policy=functools.partial(policy, gain=gain))
    for name, policy in [
        ("joint 0.8", JointSelection),
        ("independent 0.8", IndependentSelection),
    ]
    for gain in (0.1, 0.3, 3.0, 10.0, float("inf"))
}
REFERENCES = {
    f"{name} 0.8, reference {text}": SCORED[name]._replace(reference=reference)
    for name in SCORED
    for text, reference in [
        ("of T/4", Reference(steps=0.25)),
        ("of 4T", Reference(steps=4.0)),
        ("as large", Reference(width=128)),
        # Nobody has one: trained on the learner's own drawings without noise.
        ("far ahead", Reference("clean", steps=4.0, width=128)),
    ]
}
COARSE = {
    f"Flexi-JEST {ratio}{text}": SCORED["Flexi-JEST"]._replace(
        filter_ratio=ratio, settings={"coarse_size": 16, **settings}
    )
    for ratio, text, settings in [
        (0.5, "", {}),
        (0.6, "", {}),
        (0.7, "", {}),
        (0.8, ", share 0.25", {"coarse_share": 0.25}),
        (0.8, ", share 0.75", {"coarse_share": 0.75}),
        (0.7, ", share 0.75", {"coarse_share": 0.75}),
        (0.8, ", 8 px", {"coarse_size": 8}),
    ]
}
EXPLORED = {**CHUNKS, **GAINS, **REFERENCES, **COARSE}


class Data:
    """The arrays of the experiment, all from drawings in the package."""

    def __init__(self, args):
        train, curated, test = pictograms.load_data(image_size=IMAGE_SIZE)
        rows = tuning_rows(train["names"], curated["names"])
        tuning = {name: values[rows] for name, values in train.items()}
        others = np.setdiff1d(np.arange(len(train["names"])), rows)
        train = {name: values[others] for name, values in train.items()}
        pool = pictograms.web_pool(
            train, args.clean_share, args.num_pairs, 0, args.concept_exponent
        )
        good = pictograms.web_pool(curated, 1.0, args.num_curated, seed=1)
        clean = pictograms.web_pool(train, 1.0, args.num_pairs, seed=2)
        captions = [*pool["captions"], *good["captions"]]
        self.tokenizer = Tokenizer.train(
            list(map(str, captions)), VOCABULARY, SEQUENCE_LENGTH
        )
        self.pools = {
            "pool": self.inputs(pool),
            "curated": self.inputs(good),
            "clean": self.inputs(clean),
        }
        # As the best tagger of pictures would have it: -1 shows nothing.
        tags = np.concatenate([tags_of(train), np.full((1, TAGS_A_ROW), -1)])
        self.pools["pool"]["concepts"] = tags[pool["row"]].astype("int32")
        self.evaluation = self.inputs(tuning if args.tune else test)
        self.rows = {
            key_to_hex(key): row for row, key in enumerate(pool["key"])
        }
        self.kinds = {
            "clean": pool["source"] == "clean",
            "rare": is_rare(pool["concept"]),
        }

    def pool(self, name):
        return self.pools[name]

    def inputs(self, split):
        captions = [str(caption) for caption in split["captions"]]
        return {
            "images": split["images"],
            "token_ids": self.tokenizer(captions),
            "key": split["key"],
        }

    def picked(self, path):
        return picked_over_time(path, self.rows, self.kinds)


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


def is_rare(concepts):
    """Rows of the concepts that are not of the commonest half of all rows."""
    counts = np.bincount(concepts[concepts >= 0])
    order = np.argsort(-counts)
    is_common = np.cumsum(counts[order]) <= counts.sum() / 2
    return ~np.isin(concepts, order[is_common]) & (concepts >= 0)


def print_results(results):
    """The table, and what joint selection is better by, seed by seed."""
    print_table(results)
    names = {row["arm"] for row in results}
    for name in sorted(of for of in names if "joint" in of):
        other = name.replace("joint", "independent")
        if other in names:
            gain, error = difference(results, name, other)
            print(f"{name} over independent: {gain:+.3f} (s.e. {error:.3f})")


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
            "sub-batch": SUB_BATCH,
        },
    )
    experiment = Experiment(Data(args), {**ARMS, **EXPLORED}, args)
    run_all(experiment, args, print_results)


if __name__ == "__main__":
    main()
