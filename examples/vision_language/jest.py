"""
Title: Joint example selection on a noisy image-text pool
Author: The keras_jest authors
Date created: 2026/11/21
Last modified: 2026/11/28
Description: Train on what is learnable in a noisy pool; count what it costs.
Accelerator: None
"""

"""
## Introduction

Most image-text pairs from the web teach a model nothing: captions do not
belong to their pictures, or say "IMG_2034.jpg". Joint example selection (JEST)
looks at many more pairs than it trains on. It keeps those that the learner has
not learnt and that a reference, a model trained on good data, finds easy.

To look costs computation, too. Flexi-JEST saves most of it: the learner scores
pictures at half their side, a quarter of the pixels, and trains on half of
what it keeps at that size. And the reference is a small model, run once.

This example trains the same model twice, from the same initial weights, on
drawings of emoji with their names, of which 70 % are noise: once uniformly,
once with selection and half of the steps. A ledger counts what both cost,
down to the training of the reference.

- [Data curation via joint example selection](https://arxiv.org/abs/2406.17711)
- [Sigmoid loss for language image
  pre-training](https://arxiv.org/abs/2303.15343)
"""

"""
## Setup
"""

import io
import math
import os
import pathlib
import textwrap

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import matplotlib
import numpy as np
import pyarrow.parquet
from keras import layers
from PIL import Image

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import keras_jest
from keras_jest.callbacks import ComputeLedger
from keras_jest.callbacks import RetrievalEvaluation
from keras_jest.callbacks import SelectionLog
from keras_jest.data import Tokenizer
from keras_jest.data import key_to_hex
from keras_jest.datasets import pictograms
from keras_jest.evaluation import count_flops
from keras_jest.evaluation import plot_ledgers
from keras_jest.evaluation import selection_report
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder
from keras_jest.models import precompute

num_pairs = int(os.environ.get("NUM_PAIRS", 19_200))
num_epochs = int(os.environ.get("NUM_EPOCHS", 4))
sub_batch_size = 128
super_batch_size = 640  # a filter ratio of 0.8
num_steps = num_epochs * num_pairs // sub_batch_size
num_jest_steps = num_steps // 2
reference_steps = num_steps
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


def batches(inputs, size):
    """Whole batches in random order, without end."""
    generator = np.random.default_rng(0)
    while True:
        order = generator.permutation(num_pairs)
        for start in range(0, num_pairs - size + 1, size):
            rows = order[start : start + size]
            yield ({name: values[rows] for name, values in inputs.items()},)


"""
## The models

Any two Keras models that make embeddings of one width are a `DualEncoder`. A
small convolutional net and a bag of words learn a lot in a few hundred steps.
The net ends in global pooling, so that it takes pictures of any size. The bias
starts at the odds that two of a batch belong together.

The reference is the same model at a fifth of the width. All runs use the same
recipe, each with a warm-up and a decay of its own.
"""


def convolution(filters):
    return [
        layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(momentum=0.9),
        layers.Activation("gelu"),
    ]


def make_model(seed, width):
    keras.utils.set_random_seed(seed)
    image_encoder = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Rescaling(1 / 127.5, offset=-1.0),
            *convolution(width // 4),
            *convolution(width // 2),
            *convolution(width),
            *convolution(2 * width),
            layers.GlobalAveragePooling2D(),
            layers.LayerNormalization(),
            layers.Dense(2 * width, activation="gelu"),
            layers.Dense(width),
        ]
    )
    text_encoder = keras.Sequential(
        [
            keras.Input((16,), dtype="int32"),
            layers.Embedding(tokenizer.vocabulary_size, width),
            layers.GlobalAveragePooling1D(),
            layers.LayerNormalization(),
            layers.Dense(width),
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


def fit(model, inputs, steps, batch_size, selection=None, callbacks=()):
    model.compile(
        make_optimizer(model.learner, steps),
        loss=SigmoidContrastiveLoss(),
        selection=selection,
    )
    num_parts = min(10, steps)
    model.fit(
        batches(inputs, batch_size),
        steps_per_epoch=steps // num_parts,
        epochs=num_parts,
        shuffle=False,
        callbacks=list(callbacks),
    )


"""
## The reference

It is trained once, on good data alone. Its embeddings of the pool never
change, so `precompute()` runs it over the pool once; then they travel with the
batches.
"""

print("1 of 3: the reference")
reference = make_model(seed=1, width=28)
fit(
    keras_jest.JESTModel(reference),
    good_inputs,
    reference_steps,
    sub_batch_size,
)
arrays, precomputed = precompute(
    reference, pool_inputs, batch_size=super_batch_size
)
(batch,) = next(batches(pool_inputs, sub_batch_size))
reference_flops = count_flops(reference, batch)

"""
## Uniform training

The baseline: every pair of the pool, in random order. A `ComputeLedger` writes
down what it costs, and the recall that it reaches.
"""

print("2 of 3: uniform training")
monitor = "mean_recall@10"
uniform = ComputeLedger(path=results / "uniform.json", monitor=monitor)
fit(
    keras_jest.JESTModel(make_model(seed=0, width=128)),
    pool_inputs,
    num_steps,
    sub_batch_size,
    callbacks=[RetrievalEvaluation(test_inputs), uniform],
)

"""
## Joint selection

The same model, sub-batch size and recipe, and half of the steps. The
dataset yields super-batches, and `selection` says what is kept of them.
`FlexiJEST` scores at half the side. The ledger is told of the reference's own
training and of its one pass over the pool, and compares with the uniform run.
`SelectionLog` writes down what was seen and what was kept.
"""

print("3 of 3: joint selection")
learner = make_model(seed=0, width=128)
joint = ComputeLedger(
    baseline=results / "uniform.json",
    path=results / "joint.json",
    num_reference=reference_steps * sub_batch_size,
    num_stored=num_pairs,
    reference_flops=reference_flops,
)
log = SelectionLog(
    results / "picks.parquet",
    keep_seen=True,
    snapshot_every=max(1, num_jest_steps // 6),
)
fit(
    keras_jest.FlexiJEST(learner, precomputed, coarse_size=16, seed=0),
    {**pool_inputs, **arrays},
    num_jest_steps,
    super_batch_size,
    keras_jest.JointSelection(sub_batch_size=sub_batch_size),
    [RetrievalEvaluation(test_inputs), joint, log],
)

"""
## What it cost

Quality is recall at 10, averaged over both directions, on the unseen vendor.
Computation is in GFLOPs, counted from the programs that ran: three times a
forward pass for a training step, one for scoring. Of the reference, its own
training and its pass over the pool are in it.
"""

runs = {"uniform": uniform.record, "joint": joint.record}
print(f"\n{'':26s} " + " ".join(f"{name:>9s}" for name in runs))
ends = {name: record["epochs"][-1] for name, record in runs.items()}
print(
    f"{'R@10':26s} "
    + " ".join(f"{end['monitored']:9.3f}" for end in ends.values())
)
for title in ("steps", "examples_trained", "examples_scored"):
    numbers = " ".join(f"{end[title]:9,d}" for end in ends.values())
    print(f"{title.replace('_', ' '):26s} {numbers}")
for term in ends["joint"]["flops"]:
    numbers = [end["flops"][term] / 1e9 for end in ends.values()]
    print(f"{'GFLOPs, ' + term:26s} " + " ".join(f"{n:9,.0f}" for n in numbers))
ratio = ends["joint"]["flops"]["total"] / ends["uniform"]["flops"]["total"]
print(f"\nThe run with selection took {ratio:.2f} of the computation.")

"""
The same two curves over three axes. What is held equal decides who is ahead:
examples trained on, examples looked at, or computation.
"""

figure = plot_ledgers(runs)
figure.savefig(results / "three_axes.png", dpi=120)

"""
## What was kept

Selection never sees which pairs are clean. We do, and look at what it picked.
"""

table = pyarrow.parquet.read_table(results / "picks.parquet").to_pydict()
row_of_key = {key_to_hex(key): row for row, key in enumerate(pool["key"])}
picked = np.array([row_of_key[key] for key in table["key"]])
print(f"\n{'kind':15s} {'pool':>6s} {'picked':>7s}")
for kind in np.unique(pool["source"]):
    shares = [
        np.mean(pool["source"][rows] == kind) for rows in (slice(None), picked)
    ]
    print(f"{kind:15s} {shares[0]:6.0%} {shares[1]:7.0%}")

"""
Some of what was kept and what never was. The frames are green around clean
pairs and red around noise.
"""


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

"""
And a page with all that the log tells: what selection likes, what it leaves,
and which kinds of pairs starve.
"""


def as_png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


records = [
    {
        "image": as_png(pool["images"][row]),
        "text": str(pool["captions"][row]),
        "key": f"{row:06d}",
        "source": str(pool["source"][row]),
    }
    for row in range(num_pairs)
]
page = results / "selection.html"
selection_report(results / "picks.parquet", records, page, ["source"])
print(
    f"\nPictures: {results}/three_axes.png, {results}/kept_and_dropped.png\n"
    f"A page to look at: {page}"
)

"""
## Conclusion

- `fit()` with larger batches and a policy is all that changes, and `FlexiJEST`
  in the place of `JESTModel` to look at them coarsely.
- Selection trades scoring for training: read all three axes, not one. Coarse
  scoring, and a small reference that is run once, keep the trade cheap.
- Next: a better reference, `score="easy_reference"`, and
  `benchmarks/heavy_tailed_pool.py`, which compares policies on a larger pool.
"""
