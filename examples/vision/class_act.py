"""
Title: Small models choose what a classifier learns from
Author: The keras_jest authors
Date created: 2026/11/21
Last modified: 2026/11/21
Description: Skip wrong labels and what is known; count what choosing costs.
Accelerator: None
"""

"""
## Introduction

Of the labels below 40 % are wrong. A classifier that trains on all of them
spends much of its time on what cannot be learnt, and some on what it knows
already. ClassAct keeps half of each batch: what a small *online model* still
gets wrong and a small *reference*, trained on other rows, gets right. The large
learner never sees the rest, so that choosing costs little.

We compare uniform training with four ways to choose, from the same initial
weights, and count updates, computation and the wrong labels among the picks.
The reference's rows are as noisy as the learner's: nobody sees a clean label.

- [Bad students make great teachers](https://arxiv.org/abs/2312.05328)
- [Prioritized training on points that are learnable, worth learning, and not
  yet learnt](https://arxiv.org/abs/2206.07137) (RHO-LOSS)
"""

"""
## Setup
"""

import argparse
import io
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
from PIL import Image

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import keras_jest
from keras_jest.callbacks import SelectionLog
from keras_jest.data import key_to_hex
from keras_jest.data import record_key
from keras_jest.evaluation import computation

parser = argparse.ArgumentParser(description="ClassAct on noisy labels")
parser.add_argument("--cifar10n", help="cifar10n.npz; without it, digits")
parser.add_argument("--labels", default="train_worse", help="of cifar10n.npz")
parser.add_argument("--rows", type=int, help="of each set; default all")
parser.add_argument("--steps", type=int, default=160, help="of uniform runs")
parser.add_argument("--sub-batch-size", type=int, default=16)
parser.add_argument("--learning-rate", type=float, default=3e-3)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--results", default="results")
args = parser.parse_args()
sub_batch_size, super_batch_size = args.sub_batch_size, 2 * args.sub_batch_size
results = pathlib.Path(args.results)
results.mkdir(exist_ok=True)

"""
## The data

Scikit-learn's handwritten digits, in which we give 40 % of the training rows
another label; or CIFAR-10 with the labels that people gave it in a hurry
(CIFAR-10N, 40 % wrong). Even rows are the learner's and odd rows the
reference's. The test set is clean.
"""


def load_digits():
    from sklearn.datasets import load_digits

    data = load_digits()
    rng = np.random.default_rng(args.seed)
    order = rng.permutation(len(data.target))
    images = (data.images[order, :, :, None] / 16).astype("float32")
    clean = data.target[order]
    is_wrong = rng.random(len(clean)) < 0.4
    other = (clean + rng.integers(1, 10, len(clean))) % 10
    noisy = np.where(is_wrong, other, clean)
    train = images[:1280], noisy[:1280], clean[:1280]
    test = images[1280:], clean[1280:]
    return train, test, [str(digit) for digit in range(10)]


def load_cifar10n(path):
    data = np.load(path)

    def pictures(split, limit=None):
        offsets, files = data[f"{split}_offsets"], data[f"{split}_jpeg"]
        offsets = offsets[: None if limit is None else limit + 1]
        bar = keras.utils.Progbar(len(offsets) - 1, unit_name="picture")
        images = np.empty((len(offsets) - 1, 32, 32, 3), "float32")
        for row, (first, last) in enumerate(
            zip(offsets[:-1], offsets[1:], strict=True)
        ):
            file = io.BytesIO(files[first:last].tobytes())
            images[row] = np.asarray(Image.open(file)) / 255
            if row % 1000 == 999:
                bar.update(row + 1)
        return images

    train = pictures("train", args.rows), data[args.labels], data["train_clean"]
    return (
        train,
        (pictures("test", args.rows), data["test_clean"]),
        data["class_names"],
    )


train, test, names = (
    load_cifar10n(args.cifar10n) if args.cifar10n else load_digits()
)
images, labels, clean = (of[: args.rows] for of in train)
test_images, test_labels = (of[: args.rows] for of in test)
labels = labels.astype("int32")
names = [str(name) for name in names]
num_classes = len(names)


def rows_of(first, step=2):
    """Whole super-batches of every other row, with a key for each row."""
    rows = np.arange(first, len(images), step)
    rows = rows[: len(rows) // super_batch_size * super_batch_size]
    keys = np.stack([record_key(str(row)) for row in rows])
    return {"images": images[rows], "key": keys}, labels[rows]


own, held_out, all_rows = rows_of(0), rows_of(1), rows_of(0, step=1)
print(
    f"{len(own[1])} rows to learn from, {np.mean(labels != clean):.0%} wrong; "
    f"test: {len(test_labels)}"
)

"""
## The models

The learner costs at least 14 times as much as a scorer, as in the paper's pair
of ViT-B and ViT-Ti. All runs have the same recipe, each with a warm-up and a
decay of its own, and the learner's initial weights are the same in all.
"""


def classifier(widths, seed, dropout):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input(images.shape[1:], name="images")])
    for width in widths:
        model.add(layers.Conv2D(width, 3, strides=2, padding="same"))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.Activation("relu"))
    model.add(layers.Flatten())
    model.add(layers.Dropout(dropout))
    model.add(layers.Dense(num_classes))
    return model


def make_learner():
    return classifier([64, 128, 128], seed=args.seed, dropout=0.5)


def make_scorer(seed):
    return classifier([12, 24, 32, 32], seed=seed, dropout=0.1)


def forward_flops(model):
    """Multiply-adds of one example, in millions."""
    return (
        sum(
            math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
            for layer in model.layers
            if isinstance(layer, layers.Conv2D | layers.Dense)
        )
        / 1e6
    )


def make_optimizer(steps):
    warm_up = max(1, steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps - warm_up),
        warmup_target=args.learning_rate,
        warmup_steps=warm_up,
    )
    return keras.optimizers.AdamW(schedule, global_clipnorm=1.0)


loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class CleanAccuracy(keras.callbacks.Callback):
    """The learner's accuracy on the test set, until the last step."""

    def __init__(self, steps):
        super().__init__()
        self.steps, self.every = steps, max(1, steps // 20)
        self.step, self.history = 0, []

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.step % self.every == 0:
            logits = self.model.learner.predict(
                test_images, batch_size=500, verbose=0
            )
            right = np.argmax(logits, axis=1) == test_labels
            self.history.append((self.step, float(np.mean(right))))
        self.model.stop_training = self.step == self.steps


def fit(model, data, steps, selection=None, log=None):
    model.compile(make_optimizer(steps), loss=loss, selection=selection)
    batch_size = super_batch_size if selection else sub_batch_size
    accuracy = CleanAccuracy(steps)
    inputs, targets = data
    start = time.time()
    model.fit(
        inputs,
        targets,
        batch_size=batch_size,
        epochs=-(-steps * batch_size // len(targets)),
        callbacks=[accuracy, *([log] if log else [])],
        verbose=0,
    )
    return accuracy.history, time.time() - start


"""
## The reference

It is small, and trained once on the held-out rows with their noisy labels. It
must stay ahead of the online model, or the difference of their losses says
nothing: it is trained for four times as many steps. They are cheap.
"""

reference = make_scorer(args.seed + 1)
reference_steps = 2 * args.steps
history, seconds = fit(
    keras_jest.ClassAct(reference), held_out, reference_steps
)
print(f"reference: accuracy {history[-1][1]:.3f}, {seconds:.0f} s")

"""
## Five runs of half the length

Uniform training has all steps, once on the learner's rows and once on the
reference's, too. The others have half of them. What differs is the policy, and
whether an online model or the learner itself scores.
"""


def policy(score, gain=1.0):
    return keras_jest.IndependentSelection(0.5, score=score, gain=gain)


half = args.steps // 2
arms = {
    "uniform, T": (args.steps, own, None),
    "uniform, T, all rows": (args.steps, all_rows, None),
    "uniform, T/2": (half, own, None),
    "hard learner": (half, own, policy("hard_learner")),
    "easy reference": (half, own, policy("easy_reference")),
    "learnability": (half, own, policy("learnability")),
    "RHO-LOSS": (half, own, policy("learnability", gain=float("inf"))),
}
has_online = {"hard learner", "learnability"}
has_reference = {"easy reference", "learnability", "RHO-LOSS"}
row_of_key = {
    key_to_hex(record_key(str(row))): row for row in range(len(images))
}
curves, picks = {}, {}
for arm, (steps, data, selection) in arms.items():
    model = keras_jest.ClassAct(
        make_learner(),
        online=make_scorer(args.seed + 2) if arm in has_online else None,
        reference=reference if arm in has_reference else None,
        seed=args.seed,
    )
    file = results / "picks.parquet"
    log = SelectionLog(file) if selection else None
    curves[arm], seconds = fit(model, data, steps, selection, log)
    if selection:
        keys = pyarrow.parquet.read_table(file)["key"].to_pylist()
        picks[arm] = np.array([row_of_key[key] for key in keys])
    print(f"{arm:22s} {steps:6d} updates, {seconds:4.0f} s", flush=True)

"""
## What it cost

To the first evaluation that reaches the final accuracy of uniform training on
the learner's rows: updates, and the computation in its five terms, in units of
the uniform run's. Fewer updates can cost more: RHO-LOSS scores with the
learner.
"""

goal = curves["uniform, T"][-1][1]
flops = forward_flops(make_learner()), forward_flops(make_scorer(0))
whole = computation(flops[0], args.steps * sub_batch_size)["total"]


def cost(arm, steps):
    is_selecting = arm in picks
    return computation(
        flops[0],
        num_trained=steps * sub_batch_size,
        num_scored=steps * super_batch_size if is_selecting else 0,
        online=flops[1] if arm in has_online else 0.0,
        reference=flops[1] if arm in has_reference else 0.0,
        learner_scores=arm == "RHO-LOSS",
        num_reference=reference_steps * sub_batch_size,
    )


print(f"\nA scorer costs 1/{flops[0] / flops[1]:.0f} of the learner.")
print(f"Updates and computation to accuracy {goal:.3f}:\n")
print(
    f"{'':22s} {'final':>6s} {'updates':>12s} {'total':>6s} =  learner  "
    "online: score, train  reference: score, train"
)
for arm, history in curves.items():
    reached = [step for step, accuracy in history if accuracy >= goal]
    start = f"{arm:22s} {history[-1][1]:6.3f}"
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

Wrong labels among the picks, and how often a class is picked compared with its
share of the rows. Selection may starve a class that the reference finds hard.
"""

own_rows = np.arange(0, len(images), 2)[: len(own[1])]
print(f"\n{'':22s} {'wrong':>6s}   picked / share of the rows, by true class")
print(" " * 31 + "".join(f"{name[:6]:>7s}" for name in names))
base = np.bincount(clean[own_rows], minlength=num_classes) / len(own_rows)
wrong = {"its own rows": np.mean(labels[own_rows] != clean[own_rows])}
print(f"{'its own rows':22s} {wrong['its own rows']:6.0%}")
balance = {}
for arm, rows in picks.items():
    wrong[arm] = np.mean(labels[rows] != clean[rows])
    share = np.bincount(clean[rows], minlength=num_classes) / len(rows)
    balance[arm] = share / base
    numbers = "".join(f"{number:7.2f}" for number in balance[arm])
    print(f"{arm:22s} {wrong[arm]:6.0%}   {numbers}")
print(f"\n{'wrong picks by class':31s}", end="")
print("".join(f"{name[:6]:>7s}" for name in names))
for arm, rows in picks.items():
    shares = [
        np.mean((labels != clean)[rows[clean[rows] == number]])
        if np.any(clean[rows] == number)
        else float("nan")
        for number in range(num_classes)
    ]
    print(f"{arm:31s}" + "".join(f"{share:7.0%}" for share in shares))
for arm, of_class in balance.items():
    print(
        f"{arm} starves {names[np.argmin(of_class)]!r} most: picked "
        f"{np.min(of_class):.2f} times as often as its share."
    )

figure, axes = plt.subplots(1, 3, figsize=(14, 4))
for arm, history in curves.items():
    style = "--" if arm.startswith("uniform") else "-"
    axes[0].plot(*zip(*history, strict=True), style, label=arm)
    computed = [cost(arm, step)["total"] / whole for step, _ in history]
    axes[1].plot(computed, [point[1] for point in history], style, label=arm)
axes[0].set(xlabel="updates", ylabel="accuracy on clean test rows")
axes[1].set(xlabel="computation, uniform = 1, reference included")
for axis in axes[:2]:
    axis.axhline(goal, color="grey", linewidth=1, linestyle=":")
    axis.grid(alpha=0.3)
axes[0].legend(fontsize=7)
axes[2].barh(list(wrong), list(wrong.values()), color="tab:red")
axes[2].set(xlabel="share of wrong labels", xlim=(0, 1))
axes[2].invert_yaxis()
figure.tight_layout()
figure.savefig(results / "class_act.png", dpi=120)
print(f"\nPicture: {results}/class_act.png")

"""
## Conclusion

- One wrapper around a classifier, a small online model and a small reference
  are all that changes; `loss`, metrics and `predict()` are the learner's.
- Read updates and computation together. Here, with one seed,
  the reference alone reaches what uniform training does for least; the benchmarks
  have more seeds.
- The hardest examples of a noisy set are its wrong labels.
"""
