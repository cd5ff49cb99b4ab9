"""
Title: JEST on tar shards
Author: The keras_jest authors
Date created: 2026/11/21
Last modified: 2026/11/21
Description: Train an image-text model on tar shards with joint selection.
Accelerator: GPU
"""

"""
## Introduction

Image-text data usually comes as WebDataset-style tar shards: `000001.jpg` and
`000001.txt` side by side in a `.tar` file. This script trains a SigLIP model
on a folder of them as they are. A reference is trained first, on a folder of
good shards; the learner then picks what it trains on (or does not, with
`--selection none`); and a third folder is for evaluation.

```
python jest_tar_shards.py SHARDS --reference-shards GOOD --test-shards TEST \\
    --selection joint --filter-ratio 0.8 --steps 1000 --json result.json
```

- [Data curation via joint example selection](https://arxiv.org/abs/2406.17711)
"""

"""
## Setup
"""

import argparse
import json
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras

import keras_jest
from keras_jest.data import TarShards
from keras_jest.data import Tokenizer
from keras_jest.data import load_arrays
from keras_jest.data import super_batches
from keras_jest.evaluation import retrieval
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import SigLIP

parser = argparse.ArgumentParser()
parser.add_argument("shards", help="folder with the noisy pool")
parser.add_argument("--reference-shards", help="curated folder")
parser.add_argument(
    "--test-shards", required=True, help="folder to evaluate on"
)
parser.add_argument(
    "--selection",
    default="joint",
    choices=["joint", "independent", "uniform", "none"],
)
parser.add_argument("--filter-ratio", type=float, default=0.8)
parser.add_argument("--sub-batch-size", type=int, default=128)
parser.add_argument("--steps", type=int, default=1000)
parser.add_argument("--reference-steps", type=int, default=1000)
parser.add_argument("--learning-rate", type=float, default=1e-3)
parser.add_argument("--variant", default="mu/8", help="size/patch, as in B/16")
parser.add_argument("--image-size", type=int, default=32)
parser.add_argument("--sequence-length", type=int, default=16)
parser.add_argument(
    "--tokenizer", help="tokenizer.json; one is trained if absent"
)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--json", help="file for the final metrics and settings")
args = parser.parse_args()

"""
## Open the shards

Opening reads and checks every sample once. Faulty ones are counted by kind and
left out; more than 5 % of them are an error.
"""

needs_reference = args.selection in ("joint", "independent")
if needs_reference and not args.reference_shards:
    parser.error(f"--selection {args.selection} needs --reference-shards")
pool, test = TarShards(args.shards), TarShards(args.test_shards)
print(f"pool {len(pool)}, test {len(test)}")
print(f"left out of the pool: {dict(pool.bad_counts) or 'nothing'}")

if args.tokenizer:
    tokenizer = Tokenizer(args.tokenizer, sequence_length=args.sequence_length)
else:
    captions = [pool[row]["text"] for row in range(len(pool))]
    tokenizer = Tokenizer.train(captions, 8000, args.sequence_length)


def make_dataset(records, batch_size, seed):
    return super_batches(
        records, tokenizer, args.image_size, batch_size=batch_size, seed=seed
    )


"""
## Train

Both models are of the same size, so that one forward pass of either costs the
same. AdamW decays kernels only, and its second momentum is short, since
selected batches differ more from each other than random ones.
"""


def make_model(seed):
    keras.utils.set_random_seed(seed)
    return SigLIP.from_variant(
        args.variant,
        image_size=args.image_size,
        vocabulary_size=tokenizer.vocabulary_size,
        sequence_length=args.sequence_length,
    )


def train(learner, reference, records, selection, batch_size, num_steps):
    warm_up = max(1, num_steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, num_steps - warm_up),
        warmup_target=args.learning_rate,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=0.1, beta_2=0.95, global_clipnorm=1.0
    )
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in learner.variables if v.name != "kernel"]
    )
    model = keras_jest.JESTModel(learner, reference, seed=args.seed)
    model.compile(optimizer, loss=SigmoidContrastiveLoss(), selection=selection)
    history = model.fit(
        make_dataset(records, batch_size, args.seed),
        steps_per_epoch=num_steps,
        shuffle=False,
    )
    return {name: float(values[-1]) for name, values in history.history.items()}


policies = {
    "joint": keras_jest.JointSelection,
    "independent": keras_jest.IndependentSelection,
    "uniform": keras_jest.UniformSelection,
}
reference, policy, batch_size = None, None, args.sub_batch_size
start, reference_seconds = time.time(), 0.0
if args.selection != "none":
    policy = policies[args.selection](
        filter_ratio=args.filter_ratio, sub_batch_size=args.sub_batch_size
    )
    batch_size = round(args.sub_batch_size / (1 - args.filter_ratio))
if needs_reference:
    good = TarShards(args.reference_shards)
    reference = make_model(args.seed + 1)
    train(
        reference, None, good, None, args.sub_batch_size, args.reference_steps
    )
    reference_seconds = time.time() - start
learner = make_model(args.seed)
logs = train(learner, reference, pool, policy, batch_size, args.steps)

"""
## Evaluate

Zero-shot retrieval on the test shards: find the text of each picture, and the
picture of each text.
"""

arrays = load_arrays(test, tokenizer, args.image_size)
pairs = learner.predict(
    {name: arrays[name] for name in learner.input_keys}, batch_size=256
)
result = {
    "metrics": {**logs, **retrieval(pairs)},
    "seconds": time.time() - start - reference_seconds,
    "reference_seconds": reference_seconds,
    "reference_examples_trained": (
        args.reference_steps * args.sub_batch_size if reference else 0
    ),
    "examples_trained": args.steps * args.sub_batch_size,
    "examples_scored": args.steps * batch_size if reference else 0,
    "bad_records": dict(pool.bad_counts),
    "backend": keras.backend.backend(),
    "settings": vars(args),
}
for name, value in result["metrics"].items():
    print(f"{name:28s} {value:10.4f}")
if args.json:
    with open(args.json, "w") as file:
        json.dump(result, file, indent=1)
