"""
Title: Joint example selection on a noisy image-text pool
Author: The keras_jest authors
Date created: 2026/11/21
Last modified: 2026/11/21
Description: Train on what is learnable in a noisy pool; count what it costs.
Accelerator: None
"""

"""
## Introduction

Most image-text pairs from the web teach a model nothing: captions do not
belong to their pictures, or say "IMG_2034.jpg". Joint example selection (JEST)
looks at many more pairs than it trains on. It keeps those that the learner has
not learnt and that a reference, a model trained on good data, finds easy.

This example trains the same model twice, from the same initial weights, on
drawings of emoji with their names, of which 70 % are noise: once uniformly,
once with selection and a quarter of the steps. It then counts what both cost.

- [Data curation via joint example selection](https://arxiv.org/abs/2406.17711)
- [Sigmoid loss for language image
  pre-training](https://arxiv.org/abs/2303.15343)
"""

"""
## Setup
"""

import math
import os
import pathlib
import textwrap
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import matplotlib
import numpy as np
import pyarrow.parquet
from keras import layers

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import keras_jest
from keras_jest.callbacks import RetrievalEvaluation
from keras_jest.callbacks import SelectionLog
from keras_jest.data import Tokenizer
from keras_jest.data import key_to_hex
from keras_jest.datasets import pictograms
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder
from keras_jest.models import precompute

num_pairs = int(os.environ.get("NUM_PAIRS", 19_200))
num_epochs = int(os.environ.get("NUM_EPOCHS", 4))
sub_batch_size = 128
super_batch_size = 640  # a filter ratio of 0.8
num_steps = num_epochs * num_pairs // sub_batch_size
num_jest_steps = num_steps // 4
learning_rate = 2e-3
results = pathlib.Path(os.environ.get("RESULTS", "results"))
results.mkdir(exist_ok=True)

"""
## The data

The drawings come with the package. `web_pool()` makes a noisy pool of those of
eight vendors. The reference sees the curated split only, one drawing of each
emoji: the same function, without noise, words it in many ways and moves it a
little. The test split is the work of a vendor whose style is in neither.
"""

train, curated, test = pictograms.load_data(image_size=32)
pool = pictograms.web_pool(train, clean_share=0.3, num_pairs=num_pairs, seed=0)
good = pictograms.web_pool(
    curated, clean_share=1.0, num_pairs=num_pairs, seed=1
)
tokenizer = Tokenizer.train(
    [*pool["captions"], *good["captions"]],
    vocabulary_size=2000,
    sequence_length=16,
)


def as_inputs(split):
    captions = [str(caption) for caption in split["captions"]]
    return {
        "images": split["images"],
        "token_ids": tokenizer(captions),
        "key": split["key"],
    }


pool_inputs, good_inputs, test_inputs = map(as_inputs, (pool, good, test))
clean_share = np.mean(pool["source"] == "clean")
print(f"{num_pairs} pairs, {clean_share:.0%} clean; test: {len(test['key'])}")

"""
## The models

Any two Keras models that make embeddings of one width are a `DualEncoder`. A
small convolutional net and a bag of words learn a lot in a few hundred steps.
The bias starts at the odds that two of a batch belong together.

The learner and the reference are of the same size, so that a forward pass of
either is our unit of computation. All runs use the same recipe, each with a
warm-up and a decay of its own.
"""


def convolution(filters):
    return [
        layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(momentum=0.9),
        layers.Activation("gelu"),
    ]


def make_model(seed):
    keras.utils.set_random_seed(seed)
    image_encoder = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 127.5, offset=-1.0),
            *convolution(32),
            *convolution(64),
            *convolution(128),
            layers.Flatten(),
            layers.LayerNormalization(),
            layers.Dense(256, activation="gelu"),
            layers.Dense(128),
        ]
    )
    text_encoder = keras.Sequential(
        [
            keras.Input((16,), dtype="int32"),
            layers.Embedding(tokenizer.vocabulary_size, 128),
            layers.GlobalAveragePooling1D(),
            layers.LayerNormalization(),
            layers.Dense(128),
        ]
    )
    bias = -math.log(sub_batch_size)
    return DualEncoder(image_encoder, text_encoder, logit_bias=bias)


def make_optimizer(model, steps):
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


def fit(
    learner, inputs, steps, batch_size, reference=None, selection=None, log=None
):
    model = keras_jest.JESTModel(learner, reference, seed=0)
    model.compile(
        make_optimizer(learner, steps),
        loss=SigmoidContrastiveLoss(),
        selection=selection,
    )
    evaluation = RetrievalEvaluation(test_inputs, every=max(1, steps // 8))
    start = time.time()
    model.fit(
        inputs,
        batch_size=batch_size,
        epochs=-(-steps * batch_size // num_pairs),
        callbacks=[evaluation, *([log] if log else [])],
    )
    return evaluation.history, time.time() - start


"""
## The reference

It is trained once, on good data alone. Its embeddings of the pool never
change, so `precompute()` runs it over the pool once; then they travel with the
batches.
"""

print("1 of 3: the reference")
reference = make_model(seed=1)
reference_steps = num_steps
fit(reference, good_inputs, reference_steps, sub_batch_size)
arrays, reference = precompute(
    reference, pool_inputs, batch_size=super_batch_size
)

"""
## Uniform training

The baseline: every pair of the pool, in random order.
"""

print("2 of 3: uniform training")
uniform, uniform_seconds = fit(
    make_model(seed=0), pool_inputs, num_steps, sub_batch_size
)

"""
## Joint selection

The same model, sub-batch size and recipe, and a quarter of the steps. The
dataset yields super-batches, and `selection` says what is kept of them.
`SelectionLog` writes down which.
"""

print("3 of 3: joint selection")
learner = make_model(seed=0)
joint, joint_seconds = fit(
    learner,
    {**pool_inputs, **arrays},
    num_jest_steps,
    super_batch_size,
    reference,
    keras_jest.JointSelection(sub_batch_size=sub_batch_size),
    SelectionLog(results / "picks.parquet"),
)

"""
## What it cost

Quality is recall at 10, averaged over both directions, on the unseen vendor.
We count to the first evaluation that reaches the uniform run's final quality,
on three axes: examples trained on, examples scored, and computation in forward
passes of a pair, three for a training step, one for scoring. The reference's
pass over the pool and its own training are in it.
"""


def quality(row):
    return (row["image_to_text_recall@10"] + row["text_to_image_recall@10"]) / 2


def cost(step, is_joint):
    trained = step * sub_batch_size
    scored = step * super_batch_size if is_joint else 0
    computation = 3 * trained + scored
    if is_joint:
        computation += num_pairs + 3 * reference_steps * sub_batch_size
    return trained, scored, computation


runs = {"uniform": (uniform, uniform_seconds), "joint": (joint, joint_seconds)}
goal = quality(uniform[-1])

header = ("R@1 i>t", "R@1 t>i", "R@10", "steps", "seconds")
print(f"\n{'':8s} " + " ".join(f"{name:>8s}" for name in header))
for name, (history, seconds) in runs.items():
    last = history[-1]
    print(
        f"{name:8s} {last['image_to_text_recall@1']:8.3f} "
        f"{last['text_to_image_recall@1']:8.3f} {quality(last):8.3f} "
        f"{last['step']:8d} {seconds:8.0f}"
    )

print(f"\nTo R@10 = {goal:.3f}:")
print(f"{'':8s} {'trained':>12s} {'scored':>12s} {'computation':>12s}")
for name, (history, _) in runs.items():
    steps = [row["step"] for row in history if quality(row) >= goal]
    if steps:
        numbers = cost(steps[0], name == "joint")
        print(f"{name:8s} " + " ".join(f"{number:12,d}" for number in numbers))
    else:
        print(f"{name:8s} {'not reached':>12s}")
of_reference = 3 * reference_steps * sub_batch_size
print(f"The reference's own training is {of_reference:,d} of the computation.")

"""
## What was kept

Selection never sees which pairs are clean. We do, and look at what it picked.
"""

log = pyarrow.parquet.read_table(results / "picks.parquet").to_pydict()
row_of_key = {key_to_hex(key): row for row, key in enumerate(pool["key"])}
picked = np.array([row_of_key[key] for key in log["key"]])
print(f"\n{'kind':15s} {'pool':>6s} {'picked':>7s}")
for kind in np.unique(pool["source"]):
    shares = [
        np.mean(pool["source"][rows] == kind) for rows in (slice(None), picked)
    ]
    print(f"{kind:15s} {shares[0]:6.0%} {shares[1]:7.0%}")

"""
Two pictures: the learning curves, and some of what was kept and what never
was. The frames are green around clean pairs and red around noise.
"""

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
for name, (history, _) in runs.items():
    steps = [row["step"] for row in history]
    qualities = [quality(row) for row in history]
    axes[0].plot(steps, qualities, marker="o", label=name)
    computation = [cost(step, name == "joint")[2] / 1e3 for step in steps]
    axes[1].plot(computation, qualities, marker="o", label=name)
axes[0].set_xlabel("training steps of 128 pairs")
axes[1].set_xlabel("computation, thousand forward passes, reference included")
axes[0].set_ylabel("recall at 10 on an unseen vendor")
for axis in axes:
    axis.axhline(goal, color="grey", linewidth=1, linestyle="--")
    axis.legend()
    axis.grid(alpha=0.3)
figure.tight_layout()
figure.savefig(results / "learning_curves.png", dpi=120)


def draw_gallery(part, rows, title):
    is_clean = pool["source"][rows] == "clean"
    part.suptitle(f"{title}: {is_clean.mean():.0%} clean")
    shown = np.random.default_rng(0).choice(len(rows), 24, replace=False)
    grid = part.subplots(6, 4, gridspec_kw={"hspace": 0.8, "top": 0.88})
    for row, clean, axis in zip(
        rows[shown], is_clean[shown], grid.flat, strict=True
    ):
        axis.imshow(pool["images"][row])
        caption = textwrap.wrap(str(pool["captions"][row]), 22, max_lines=2)
        axis.set_title("\n".join(caption), fontsize=7)
        axis.set(xticks=[], yticks=[])
        for spine in axis.spines.values():
            spine.set(color="tab:green" if clean else "tab:red", linewidth=2)


figure = plt.figure(figsize=(12, 10))
left, right = figure.subfigures(1, 2)
draw_gallery(left, picked, "kept")
never_kept = np.setdiff1d(np.arange(num_pairs), picked)
draw_gallery(right, never_kept, "never kept")
figure.savefig(results / "kept_and_dropped.png", dpi=120)
print(
    f"\nPictures: {results}/learning_curves.png, {results}/kept_and_dropped.png"
)

"""
## Conclusion

- `fit()` with larger batches and `selection="joint"` is all that changes.
- Selection trades scoring for training: read all three axes, not one. On a
  tiny model and a tiny pool the reference's training weighs more than it ever
  would at scale, where one reference serves many runs.
- Next: a better reference, a higher filter ratio, and
  `benchmarks/noisy_pool.py`, which compares policies over three seeds.
"""
