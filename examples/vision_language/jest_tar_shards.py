"""
Title: JEST on tar shards
Author: The keras_jest authors
Date created: 2026/11/21
Last modified: 2026/11/29
Description: Train an image-text model on tar shards with joint selection.
Accelerator: GPU
"""

"""
## Introduction

Image-text data usually comes as WebDataset-style tar shards: `000001.jpg` and
`000001.txt` side by side in a `.tar` or `.tar.gz` file. This script trains a
model on a folder of them as they are. A reference is trained first, on a
folder of good shards; the learner then picks what it trains on (or does not,
with `--selection none`); and a third folder is for evaluation.

```
python jest_tar_shards.py SHARDS --reference-shards GOOD --test-shards TEST \\
    --selection joint --filter-ratio 0.8 --steps 1000 --output results/joint
```

Without folders it writes shards of the drawings in the package, which takes
seconds, and trains on those, as below.

All that a run makes is in its output folder: the learner, the reference, the
tokenizer, a log of every pick, the settings, the metrics and a plot. Stopped at
any step, by a kill or by the scheduler of a cluster, it goes on exactly with
`--resume`.

- [Data curation via joint example selection](https://arxiv.org/abs/2406.17711)
"""

"""
## Setup
"""

import argparse
import io
import json
import math
import os
import pathlib
import shutil
import tarfile
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import matplotlib
from keras import layers
from PIL import Image

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import keras_jest
from keras_jest.callbacks import BackupAndRestore
from keras_jest.callbacks import RetrievalEvaluation
from keras_jest.callbacks import SelectionLog
from keras_jest.data import TarShards
from keras_jest.data import Tokenizer
from keras_jest.data import load_arrays
from keras_jest.data import super_batches
from keras_jest.datasets import pictograms
from keras_jest.evaluation import retrieval
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder
from keras_jest.models import SigLIP

parser = argparse.ArgumentParser()
parser.add_argument("shards", nargs="?", help="folder with the noisy pool")
parser.add_argument("--reference-shards", help="curated folder")
parser.add_argument("--test-shards", help="folder to evaluate on")
parser.add_argument(
    "--selection",
    default="joint",
    choices=["joint", "independent", "uniform", "none"],
)
parser.add_argument(
    "--score",
    default="learnability",
    choices=["learnability", "easy_reference"],
    help="easy_reference follows the reference alone and costs less",
)
parser.add_argument("--filter-ratio", type=float, default=0.8)
parser.add_argument("--sub-batch-size", type=int, default=128)
parser.add_argument("--steps", type=int, default=200)
parser.add_argument("--reference-steps", type=int, default=300)
parser.add_argument("--learning-rate", type=float, default=2e-3)
parser.add_argument(
    "--variant", help="a SigLIP, such as S/16, instead of the small towers"
)
parser.add_argument("--image-size", type=int, default=32)
parser.add_argument("--sequence-length", type=int, default=16)
parser.add_argument(
    "--tokenizer", help="tokenizer.json; one is trained if absent"
)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--output", default="results/jest_tar_shards")
parser.add_argument(
    "--resume", action="store_true", help="go on with the run in --output"
)
parser.add_argument("--json", help="another file for the metrics")
args = parser.parse_args()

"""
## The output folder

The settings are written first, so that `--resume` can tell whether it is the
same run. A folder that holds a run is never overwritten.
"""

needs_reference = args.selection in ("joint", "independent")
if args.shards and not args.test_shards:
    parser.error("a folder of shards needs --test-shards")
if args.shards and needs_reference and not args.reference_shards:
    parser.error(f"--selection {args.selection} needs --reference-shards")
output = pathlib.Path(args.output)


def write_json(path, content):
    """Write a file aside first: a kill leaves it whole or not there."""
    part = pathlib.Path(f"{path}.part")
    part.write_text(json.dumps(content, indent=1, default=float))
    part.replace(path)


settings = {k: v for k, v in vars(args).items() if k != "resume"}
settings["backend"] = keras.backend.backend()
if (output / "settings.json").exists():
    before = json.loads((output / "settings.json").read_text())
    names = settings.keys() | before.keys()
    changed = sorted(k for k in names if settings.get(k) != before.get(k))
    if not args.resume:
        parser.error(f"{output} holds a run: use --resume or another --output")
    if changed:
        parser.error(f"cannot resume: {', '.join(changed)} differ from before")
    if (output / "result.json").exists():
        parser.error(f"the run in {output} has ended")
else:
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "settings.json", settings)

"""
## Shards to try it with

A picture and its caption stand side by side, under one name. The pool has 30 %
clean pairs; the rest have captions that are wrong, vague or broken, or
pictures that are. The reference sees drawings of another maker, and the test
is a third one's.
"""


def write_shards(folder, pairs, size=1000):
    """Write whole shards: a folder that a kill has left is written again."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for start in range(0, len(pairs["images"]), size):
        path = part / f"{start // size:05d}.tar"
        with tarfile.open(path, "w") as archive:
            for row in range(start, min(start + size, len(pairs["images"]))):
                picture = io.BytesIO()
                Image.fromarray(pairs["images"][row]).save(picture, "PNG")
                caption = str(pairs["captions"][row]).encode()
                for ending, content in (
                    ("png", picture.getvalue()),
                    ("txt", caption),
                ):
                    member = tarfile.TarInfo(f"{row:06d}.{ending}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    part.replace(folder)


folders = {
    "pool": args.shards,
    "reference": args.reference_shards,
    "test": args.test_shards,
}
if not args.shards:
    folders = {name: output / "shards" / name for name in folders}
    if not all(folder.exists() for folder in folders.values()):
        drawings, curated, drawn_by_others = pictograms.load_data(
            image_size=args.image_size
        )
        noisy = pictograms.web_pool(drawings, clean_share=0.3, num_pairs=20_000)
        splits = {"pool": noisy, "reference": curated, "test": drawn_by_others}
        for name, pairs in splits.items():
            if not folders[name].exists():
                write_shards(folders[name], pairs)

"""
## Open the shards

Opening reads and checks every sample once and keeps an index of them. Faulty
ones are counted by kind and left out; more than 5 % of them are an error.
"""


def open_shards(name):
    shards = TarShards(folders[name], index_path=output / f"{name}.npz")
    print(f"{name}: {len(shards)} pairs, left out: {shards.bad_counts}")
    return shards


pool = open_shards("pool")
test = open_shards("test")
tokenizer_path = output / "tokenizer.json"
if not tokenizer_path.exists():
    if args.tokenizer:
        tokenizer = Tokenizer(args.tokenizer)
    else:
        captions = (pool[row]["text"] for row in range(len(pool)))
        tokenizer = Tokenizer.train(captions, 8000)
    tokenizer.save(tokenizer_path)
tokenizer = Tokenizer(tokenizer_path, sequence_length=args.sequence_length)
test_arrays = load_arrays(test, tokenizer, args.image_size)

"""
## The models

A small convolutional net and a bag of words learn something from a few hundred
steps; transformers need more data and time than one would try a script for.
With `--variant B/16` it is a SigLIP. Learner and reference are of the same
size. The bias starts at the odds that two of a batch belong together.
"""


def convolution(filters):
    return [
        layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(momentum=0.9),
        layers.Activation("gelu"),
    ]


def make_towers(width=128):
    side, length = args.image_size, args.sequence_length
    image_encoder = [
        keras.Input((side, side, 3)),
        layers.Rescaling(1 / 127.5, offset=-1.0),
        *convolution(width // 4),
        *convolution(width // 2),
        *convolution(width),
        layers.Flatten(),
        layers.LayerNormalization(),
        layers.Dense(2 * width, activation="gelu"),
        layers.Dense(width),
    ]
    text_encoder = [
        keras.Input((length,), dtype="int32"),
        layers.Embedding(tokenizer.vocabulary_size, width),
        layers.GlobalAveragePooling1D(),
        layers.LayerNormalization(),
        layers.Dense(width),
    ]
    return keras.Sequential(image_encoder), keras.Sequential(text_encoder)


def make_model(seed):
    keras.utils.set_random_seed(seed)
    bias = -math.log(args.sub_batch_size)
    if args.variant is None:
        return DualEncoder(*make_towers(), logit_bias=bias)
    return SigLIP.from_variant(
        args.variant,
        image_size=args.image_size,
        vocabulary_size=tokenizer.vocabulary_size,
        sequence_length=args.sequence_length,
        logit_bias=bias,
    )


def make_optimizer(model, num_steps):
    """Decays kernels only; what is selected differs more than what is not."""
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
        var_list=[v for v in model.variables if v.name != "kernel"]
    )
    return optimizer


"""
## Train

Up to ten times in a run the progress bar says how well the test set is retrieved.
`BackupAndRestore` keeps model, optimizer, draws and place in the data; they
are deleted when all else is written, so that a kill in between loses nothing.
"""


def train(name, learner, records, num_steps, reference=None, policy=None):
    print(f"\nTraining the {name}")
    batch_size, log = args.sub_batch_size, []
    if policy is not None:
        batch_size = round(args.sub_batch_size / (1 - args.filter_ratio))
        log = [SelectionLog(output / "picks.parquet")]
    # Makes the variables that the optimizer asks for.
    learner({key: test_arrays[key][:2] for key in learner.input_keys})
    model = keras_jest.JESTModel(learner, reference, seed=args.seed)
    model.compile(
        make_optimizer(learner, num_steps),
        loss=SigmoidContrastiveLoss(),
        selection=policy,
    )
    num_epochs = max(of for of in range(1, 11) if num_steps % of == 0)
    history = model.fit(
        super_batches(
            records, tokenizer, args.image_size, batch_size, seed=args.seed
        ),
        epochs=num_epochs,
        steps_per_epoch=num_steps // num_epochs,
        callbacks=[
            RetrievalEvaluation(test_arrays),
            *log,
            BackupAndRestore(
                output / f"{name}_backup", 100, delete_checkpoint=False
            ),
        ],
    )
    learner.save(output / f"{name}.keras")
    return learner, history


policies = {
    "joint": keras_jest.JointSelection,
    "independent": keras_jest.IndependentSelection,
}
sizes = {
    "filter_ratio": args.filter_ratio,
    "sub_batch_size": args.sub_batch_size,
}
reference, policy = None, None
if args.selection == "uniform":
    policy = keras_jest.UniformSelection(**sizes)
start = time.time()
if needs_reference:
    policy = policies[args.selection](**sizes, score=args.score)
    good = open_shards("reference")
    reference, _ = train(
        "reference", make_model(args.seed + 1), good, args.reference_steps
    )
reference_seconds = time.time() - start if reference else 0.0
start = time.time()
learner, history = train(
    "learner", make_model(args.seed), pool, args.steps, reference, policy
)

"""
## Evaluate

Zero-shot retrieval on the test shards: find the text of each picture, and the
picture of each text. R@10 is the mean of both directions.
"""

pairs = learner.predict(
    {name: test_arrays[name] for name in learner.input_keys}, batch_size=256
)
super_batch_size = round(args.sub_batch_size / (1 - args.filter_ratio))
num_scored = args.steps * super_batch_size if policy and policy.needs else 0
result = {
    "metrics": {name: values[-1] for name, values in history.history.items()}
    | retrieval(pairs),
    # If the run was resumed, seconds are those of the last process.
    "resumed": args.resume,
    "seconds": time.time() - start,
    "reference_seconds": reference_seconds,
    "reference_examples_trained": (
        args.reference_steps * args.sub_batch_size if reference else 0
    ),
    "examples_trained": args.steps * args.sub_batch_size,
    "examples_scored": num_scored,
    "bad_records": pool.bad_counts,
    "backend": keras.backend.backend(),
    "settings": settings,
    "history": history.history,
}
print()
for name, value in result["metrics"].items():
    print(f"{name:28s} {value:10.4f}")

sides = ("image_to_text_recall@10", "text_to_image_recall@10")
recalls = zip(*(history.history[side] for side in sides), strict=True)
recalls = [sum(both) / 2 for both in recalls]
steps_per_epoch = args.steps // len(recalls)
steps = [steps_per_epoch * (epoch + 1) for epoch in range(len(recalls))]
figure, axis = plt.subplots(figsize=(6, 4))
axis.plot(steps, recalls, marker="o", label=f"selection: {args.selection}")
axis.axhline(10 / len(test), color="grey", linestyle="--", label="chance")
axis.set(xlabel="training steps", ylabel="R@10 on the test shards", ylim=0)
axis.legend()
axis.grid(alpha=0.3)
figure.tight_layout()
figure.savefig(output / "learning_curve.png", dpi=120)

for path in filter(None, (args.json, output / "result.json")):
    write_json(path, result)
for folder in output.glob("*_backup"):
    shutil.rmtree(folder)
print(f"\nR@10 {recalls[-1]:.3f}. All of the run is in {output}")
