"""
Title: Small models choose what an image-text model learns from
Author: The keras_jest authors
Date created: 2026/11/21
Last modified: 2026/11/21
Description: Choose pairs by their own similarity; count what choosing costs.
Accelerator: None
"""

"""
## Introduction

ActiveCLIP keeps the half of each super-batch whose pairs a small *reference*,
trained on good data, finds more similar than a small *online model* does, which
is trained beside the learner. Each pair is scored by itself, so that no matrix
of logits is made, and the large learner sees only what is kept.

We compare uniform training with four ways to choose from drawings of emoji with
their names, of which 70 % are noise, and count updates and computation.

- [Bad students make great teachers](https://arxiv.org/abs/2312.05328)
"""

"""
## Setup
"""

import argparse
import math
import os
import pathlib
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
from keras_jest.evaluation import computation
from keras_jest.losses import SoftmaxContrastiveLoss
from keras_jest.models import DualEncoder

parser = argparse.ArgumentParser(description="ActiveCLIP on a noisy pool")
parser.add_argument("--pairs", type=int, default=12_800, help="of the pool")
parser.add_argument("--steps", type=int, default=400, help="of uniform runs")
parser.add_argument("--sub-batch-size", type=int, default=128)
parser.add_argument("--learning-rate", type=float, default=2e-3)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--results", default="results")
args = parser.parse_args()
sub_batch_size, super_batch_size = args.sub_batch_size, 2 * args.sub_batch_size
results = pathlib.Path(args.results)
results.mkdir(exist_ok=True)

"""
## The data

As in the example of joint selection: a noisy pool of the drawings of eight
vendors, one good drawing of each emoji for the reference, and the work of a
vendor whose style is in neither as a test.
"""

train, curated, test = pictograms.load_data(image_size=32)
pool = pictograms.web_pool(
    train, clean_share=0.3, num_pairs=args.pairs, seed=args.seed
)
good = pictograms.web_pool(
    curated, clean_share=1.0, num_pairs=args.pairs, seed=args.seed + 1
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
is_noise = pool["source"] != "clean"
print(f"{args.pairs} pairs, {np.mean(is_noise):.0%} noise")

"""
## The models

The learner costs more than ten times as much as a scorer. All runs have the
same recipe, each with a warm-up and a decay of its own, and the learner's
initial weights are the same in all.
"""


def make_model(width, seed):
    keras.utils.set_random_seed(seed)
    images = keras.Sequential([keras.Input((32, 32, 3))])
    images.add(layers.Rescaling(1 / 127.5, offset=-1.0))
    for filters in (width, 2 * width, 4 * width):
        images.add(
            layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)
        )
        images.add(layers.BatchNormalization(momentum=0.9))
        images.add(layers.Activation("gelu"))
    images.add(layers.Flatten())
    images.add(layers.LayerNormalization())
    images.add(layers.Dense(4 * width))
    texts = keras.Sequential(
        [
            keras.Input((16,), dtype="int32"),
            layers.Embedding(tokenizer.vocabulary_size, 4 * width),
            layers.GlobalAveragePooling1D(),
            layers.LayerNormalization(),
            layers.Dense(4 * width),
        ]
    )
    return DualEncoder(images, texts)


def forward_flops(model):
    """Multiply-adds of one pair, in millions."""
    return sum(
        math.prod(layer.output.shape[1:-1])
        * math.prod(layer.kernel.shape)
        / 1e6
        for encoder in (model.image_encoder, model.text_encoder)
        for layer in encoder.layers
        if isinstance(layer, layers.Conv2D | layers.Dense)
    )


def make_learner():
    return make_model(32, seed=args.seed)


def make_scorer(seed):
    return make_model(8, seed=seed)


def make_optimizer(steps):
    warm_up = max(1, steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps - warm_up),
        warmup_target=args.learning_rate,
        warmup_steps=warm_up,
    )
    return keras.optimizers.AdamW(schedule, beta_2=0.95, global_clipnorm=1.0)


class StopAfter(keras.callbacks.Callback):
    """Ends `fit` in the middle of an epoch."""

    def __init__(self, steps):
        super().__init__()
        self.steps, self.step = steps, 0

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self.model.stop_training = self.step == self.steps


def fit(model, inputs, steps, selection=None, log=None):
    model.compile(
        make_optimizer(steps),
        loss=SoftmaxContrastiveLoss(),
        selection=selection,
    )
    batch_size = super_batch_size if selection else sub_batch_size
    evaluation = RetrievalEvaluation(test_inputs, every=max(1, steps // 10))
    start = time.time()
    history = model.fit(
        inputs,
        batch_size=batch_size,
        epochs=-(-steps * batch_size // args.pairs),
        callbacks=[evaluation, StopAfter(steps), *([log] if log else [])],
        verbose=0,
    ).history
    spread = history.get("log_spread", [float("nan")])[-1]
    return evaluation.history, time.time() - start, spread


"""
## The reference

It is small, and trained once on the good pairs.
"""

reference = make_scorer(args.seed + 1)
reference_steps = args.steps
_, seconds, _ = fit(
    keras_jest.ActiveCLIP(reference), good_inputs, reference_steps
)
print(f"reference: {reference_steps} steps, {seconds:.0f} s", flush=True)

"""
## Six runs

Uniform training has all steps, the others half of them. `log spread` says
whether a draw could tell pairs apart: below about -1 it is uniform in all but
name.
"""


def policy(score, gain=1.0):
    return keras_jest.IndependentSelection(0.5, score=score, gain=gain)


half = args.steps // 2
arms = {
    "uniform, T": (args.steps, None),
    "uniform, T/2": (half, None),
    "hard learner": (half, policy("hard_learner")),
    "easy reference": (half, policy("easy_reference")),
    "learnability": (half, policy("learnability")),
    "RHO-LOSS": (half, policy("learnability", gain=float("inf"))),
}
has_online = {"hard learner", "learnability"}
has_reference = {"easy reference", "learnability", "RHO-LOSS"}
row_of_key = {key_to_hex(key): row for row, key in enumerate(pool["key"])}
curves, picks = {}, {}
for arm, (steps, selection) in arms.items():
    model = keras_jest.ActiveCLIP(
        make_learner(),
        online=make_scorer(args.seed + 2) if arm in has_online else None,
        reference=reference if arm in has_reference else None,
        seed=args.seed,
    )
    file = results / "picks.parquet"
    log = SelectionLog(file) if selection else None
    curves[arm], seconds, spread = fit(
        model, pool_inputs, steps, selection, log
    )
    line = f"{arm:16s} {steps:6d} updates, {seconds:4.0f} s"
    if selection:
        keys = pyarrow.parquet.read_table(file)["key"].to_pylist()
        picks[arm] = np.array([row_of_key[key] for key in keys])
        line += f", noise {np.mean(is_noise[picks[arm]]):.0%}"
        if math.isfinite(selection.gain):
            line += f", log spread {spread:.2f}"
    print(line, flush=True)

"""
## What it cost

Quality is recall at 10, averaged over both directions, on the unseen vendor. We
count to the first evaluation that reaches the uniform run's final quality:
updates, and the computation in its five terms, in units of the uniform run's.
"""


def quality(row):
    return (row["image_to_text_recall@10"] + row["text_to_image_recall@10"]) / 2


goal = quality(curves["uniform, T"][-1])
flops = forward_flops(make_learner()), forward_flops(make_scorer(0))
whole = computation(flops[0], args.steps * sub_batch_size)["total"]


def cost(arm, steps):
    return computation(
        flops[0],
        num_trained=steps * sub_batch_size,
        num_scored=steps * super_batch_size if arm in picks else 0,
        online=flops[1] if arm in has_online else 0.0,
        reference=flops[1] if arm in has_reference else 0.0,
        learner_scores=arm == "RHO-LOSS",
        num_reference=reference_steps * sub_batch_size,
    )


print(f"\nA scorer costs 1/{flops[0] / flops[1]:.0f} of the learner.")
print(f"Updates and computation to R@10 = {goal:.3f}:\n")
print(
    f"{'':16s} {'final':>6s} {'updates':>12s} {'total':>6s} =  learner  "
    "online: score, train  reference: score, train"
)
for arm, history in curves.items():
    reached = [row["step"] for row in history if quality(row) >= goal]
    start = f"{arm:16s} {quality(history[-1]):6.3f}"
    if not reached:
        print(f"{start} {'not reached':>12s}")
        continue
    terms = [f"{of / whole:.3f}" for of in cost(arm, reached[0]).values()]
    learner, online, online_train, easy, easy_train, total = terms
    print(
        f"{start} {reached[0]:6d} {reached[0] / args.steps:5.0%} {total:>6s} "
        f"{learner:>10s} {online:>14s} {online_train:>6s} "
        f"{easy:>17s} {easy_train:>6s}"
    )

"""
## What was kept

How often pairs were picked compared with their share of the pool: by kind of
noise, and for clean pairs by what is drawn. Selection may starve a group that
the reference finds hard.
"""


def print_shares(of_pair, title):
    """Above 1 is picked more often than at random."""
    kinds, counts = np.unique(of_pair[of_pair != ""], return_counts=True)
    print(f"\n{title:15s}" + "".join(f"{kind[:11]:>12s}" for kind in kinds))
    for arm, rows in picks.items():
        rows = rows[of_pair[rows] != ""]
        picked = np.array([np.sum(of_pair[rows] == kind) for kind in kinds])
        ratios = picked / len(rows) / (counts / np.sum(counts))
        print(
            f"{arm:15s}"
            + "".join(f"{ratio:12.2f}" for ratio in ratios)
            + f"   least: {kinds[np.argmin(ratios)]}"
        )


print_shares(pool["source"], "kind of pair")
group = train["groups"][pool["row"]]
print_shares(np.where(is_noise, "", group), "clean pairs")

"""
A picture: recall over updates and over computation, and the noise among picks.
"""

figure, axes = plt.subplots(1, 3, figsize=(14, 4))
for arm, history in curves.items():
    style = "--" if arm.startswith("uniform") else "-"
    qualities = [quality(row) for row in history]
    steps = [row["step"] for row in history]
    computed = [cost(arm, step)["total"] / whole for step in steps]
    axes[0].plot(steps, qualities, style, label=arm)
    axes[1].plot(computed, qualities, style, label=arm)
axes[0].set(xlabel="updates", ylabel="recall at 10 on an unseen vendor")
axes[1].set(xlabel="computation, uniform = 1, reference included")
for axis in axes[:2]:
    axis.axhline(goal, color="grey", linewidth=1, linestyle=":")
    axis.grid(alpha=0.3)
axes[0].legend(fontsize=7)
noise = {"the pool": np.mean(is_noise)}
noise |= {arm: np.mean(is_noise[rows]) for arm, rows in picks.items()}
axes[2].barh(list(noise), list(noise.values()), color="tab:red")
axes[2].set(xlabel="share of noise", xlim=(0, 1))
axes[2].invert_yaxis()
figure.tight_layout()
figure.savefig(results / "active_clip.png", dpi=120)
print(f"\nPicture: {results}/active_clip.png")

"""
## Conclusion

- Each model is given the inputs that it names, so that scorers may see smaller
  pictures or other tokens than the learner.
- One run's choice serves other learners: `keras_jest.data.Replay` yields it
  again without any scoring.
"""
