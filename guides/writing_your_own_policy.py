"""
Title: Writing a policy of your own
Author: The keras_jest authors
Date created: 2026/11/28
Last modified: 2026/11/28
Description: Other scores, policies with a memory, and policies that read a column.
Accelerator: None
"""

"""
## Introduction

There are four places for what is not in the library:

| you want | write |
|---|---|
| another number out of two losses | a `score`, a function |
| another number out of a model's outputs | a `score_loss`, a Keras loss |
| another choice, or one with a memory | a policy |
| a choice by something that the data say | a policy with `columns` |

This guide writes one of each, after methods that are known. [Choosing a
selection policy](choosing_a_selection_policy.py) is about those that are there.

- [Accelerating deep learning by focusing on the biggest
  losers](https://arxiv.org/abs/1910.00762) (Selective-Backprop)
- [Not all samples are created equal](https://arxiv.org/abs/1803.00942) (the
  gradient-norm bound)
- [InfoBatch](https://arxiv.org/abs/2303.04947)
- [DataComp](https://arxiv.org/abs/2304.14108) (CLIP-score)
- [Concept-aware batch sampling](https://arxiv.org/abs/2511.20643) (CABS)
"""

"""
## Setup
"""

import math
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import matplotlib
import numpy as np
from keras import layers
from keras import ops
from sklearn.datasets import load_digits

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from keras_jest import ClassAct
from keras_jest import ConceptBalance
from keras_jest import IndependentSelection
from keras_jest import SelectionPolicy
from keras_jest import UniformSelection
from keras_jest.callbacks import SelectionLog
from keras_jest.data import record_key
from keras_jest.data import recorded_rows
from keras_jest.losses import LossGivenSet
from keras_jest.losses import OwnSimilarityLoss
from keras_jest.models import make_pairs

num_epochs = int(os.environ.get("NUM_EPOCHS", 10))
results = pathlib.Path(os.environ.get("RESULTS", "results"))
results.mkdir(exist_ok=True)

"""
## A small problem

Handwritten digits. Of the 1280 training rows 40 % have another label than their
own, and digits are not equally frequent: of each the rows are fewer than of the
one before. The test rows keep their labels and are not thinned.
"""

digits = load_digits()
rng = np.random.default_rng(0)
order = rng.permutation(len(digits.target))
all_pixels = (digits.data[order] / 16).astype("float32")
all_classes = digits.target[order].astype("int32")
test_pixels, test_classes = all_pixels[1280:], all_classes[1280:]

is_there = rng.random(1280) < 0.85 ** all_classes[:1280]
rows = np.flatnonzero(is_there)[:640]
pixels, classes = all_pixels[rows], all_classes[rows]
other = (classes + rng.integers(1, 10, len(rows))) % 10
is_wrong = rng.random(len(rows)) < 0.4
labels = np.where(is_wrong, other, classes).astype("int32")
keys = np.stack([record_key(str(row)) for row in rows])
data = {"pixels": pixels, "key": keys}
print(f"{len(rows)} rows, {np.mean(is_wrong):.0%} wrong")
print("rows by digit:", *np.bincount(classes))

cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def classifier():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((64,), name="pixels"),
            layers.Dense(256, activation="relu"),
            layers.Dense(10),
        ]
    )


def train(selection, data=data, reference=None, score_loss=None):
    """Train on half of each super-batch of 64. Returns rows and accuracy."""
    has_memory = isinstance(selection, layers.Layer)
    model = ClassAct(
        classifier(),
        reference=reference,
        policy=selection if has_memory else None,
        seed=0,
    )
    model.compile(
        keras.optimizers.Adam(3e-3),
        loss=cross_entropy,
        selection=selection,
        score_loss=score_loss,
    )
    log = SelectionLog(results / "picks.parquet")
    model.fit(
        data,
        labels,
        batch_size=64,
        epochs=num_epochs,
        callbacks=[log],
        verbose=0,
    )
    logits = model.learner.predict(test_pixels, verbose=0)
    accuracy = np.mean(np.argmax(logits, axis=1) == test_classes)
    return np.concatenate(recorded_rows(log.path, keys)), accuracy


"""
## A score

A function of the losses of learner and reference, row by row. It is registered
with Keras, so that a model that was saved can be loaded. Here is learnability
that stops at a bound: the learner's worst rows are not certain to be taken. A
small classifier that has learnt other rows is the reference.
"""


@keras.saving.register_keras_serializable(package="guide")
def bounded(learner, reference):
    return ops.minimum(learner - reference, 0.5)


others = np.setdiff1d(np.arange(1280), rows)
other_labels = np.where(
    rng.random(len(others)) < 0.4,
    (all_classes[others] + rng.integers(1, 10, len(others))) % 10,
    all_classes[others],
).astype("int32")
reference = classifier()
reference.compile(keras.optimizers.Adam(3e-3), loss=cross_entropy)
reference.fit(all_pixels[others], other_labels, epochs=num_epochs, verbose=0)
table = {
    "uniform": train(UniformSelection(0.5)),
    "learnability": train(IndependentSelection(0.5), reference=reference),
    "bounded": train(
        IndependentSelection(0.5, score=bounded), reference=reference
    ),
}

"""
## A loss to score by

### CLIP-score

Keep the pairs whose image and text are most similar for a fixed model. That is
`easy_reference` with the pair's own similarity as the loss, and the top 30 % as
is usual for DataComp. Give `OwnSimilarityLoss` to `compile` as `score_loss`.

A policy can be asked without any training. Here the embeddings are made up: of
half of the pairs the text has nothing to do with the image.
"""

clip_score = IndependentSelection(0.7, score="easy_reference", gain=math.inf)
own_similarity = OwnSimilarityLoss(gain=1.0)

image_embeddings = rng.normal(size=(400, 64)).astype("float32")
noise = rng.normal(size=(400, 64)).astype("float32")
is_noise = rng.random(400) < 0.5
text_embeddings = np.where(
    is_noise[:, None], noise, image_embeddings + 6 * noise
)
pairs = make_pairs(
    image_embeddings, text_embeddings, logit_scale=10.0, logit_bias=-10.0
)
losses = LossGivenSet(own_similarity.call((), pairs))
seed = ops.convert_to_tensor(0, dtype="int32")
picks = ops.convert_to_numpy(clip_score.select(losses, losses, seed))
print(f"{np.mean(is_noise[picks]):.0%} noise of {np.mean(is_noise):.0%}")

"""
### Gradient-norm bound

The gradient of the cross-entropy by the logits is `softmax(logits) - one_hot`.
Its length bounds that of the whole gradient up to a factor. As a `score_loss`
it takes four lines. It is for `hard_learner`: to train on it would make no
sense.
"""


@keras.saving.register_keras_serializable(package="guide")
class GradientNormBound(keras.losses.Loss):
    def call(self, y_true, y_pred):
        targets = ops.one_hot(y_true, y_pred.shape[-1])
        return ops.norm(ops.softmax(y_pred) - targets, axis=-1)


highest = IndependentSelection(0.5, score="hard_learner", gain=math.inf)

table["gradient-norm bound"] = train(highest, score_loss=GradientNormBound())

"""
## A policy with a memory

### Selective-Backprop

It keeps an example with a probability of `CDF(loss) ** power`, where the CDF is
that of the last losses it has seen. A policy that remembers is a
`keras.layers.Layer` with `num_kept`, `select` and `needs`. Give it to the
constructor of the model, too, which then saves its variables.

The paper keeps as many examples as pass. Sub-batches have one size here, so
that a step is compiled once. So we draw that many without replacement, with the
same numbers as weights. `IndependentSelection` draws with odds `exp(score)`, by
Gumbel noise that differs from step to step and is equal on every backend. So we
give it the logarithms. Counts do in the place of the CDF, since a constant
factor changes no odds.
"""


@keras.saving.register_keras_serializable(package="guide")
class SelectiveBackprop(keras.layers.Layer):
    needs = ("learner",)

    def __init__(self, filter_ratio=0.5, power=2.0, history=640, **kwargs):
        super().__init__(**kwargs)
        self.settings = dict(
            filter_ratio=filter_ratio, power=power, history=history
        )
        self.policy = IndependentSelection(filter_ratio, score="hard_learner")
        self.ring = self.add_weight(
            shape=(history,),
            dtype="float32",
            initializer=keras.initializers.Constant(math.inf),  # Not seen yet.
            trainable=False,
        )

    def num_kept(self, num_rows):
        return self.policy.num_kept(num_rows)

    def select(self, learner, reference, seed):
        losses = learner.values
        ring = ops.concatenate([self.ring, losses])
        ring = ring[-self.settings["history"] :]
        self.ring.assign(ring)
        is_below = ops.less_equal(ring, ops.expand_dims(losses, 1))
        count = ops.sum(ops.cast(is_below, "float32"), axis=1)
        scores = self.settings["power"] * ops.log(count)
        return self.policy.select(LossGivenSet(scores), reference, seed)

    def get_config(self):
        return {**super().get_config(), **self.settings}


"""
### A running loss, in the style of InfoBatch

InfoBatch drops an example whose loss is below the mean with a probability of
`rate`. Again the size is fixed: what is not dropped is drawn uniformly, and
what is dropped fills places only if there are too few others.

The first draw orders the rows at random and says who is unlucky. It needs a
seed that is no other step's, hence `bitwise_not`.

Two things of the paper are missing. It remembers the last loss of each example,
and a policy sees no keys: here the mean is a running one, and losses are those
of this step. And it scales the gradients of the low ones that are kept by
`1 / (1 - rate)`, so that their sum is unbiased: here no example is weighted.
The paper trains on all data in the end; do that with
`fit(..., selection=None)`.
"""


@keras.saving.register_keras_serializable(package="guide")
class InfoBatchStyle(keras.layers.Layer):
    needs = ("learner",)

    def __init__(self, filter_ratio=0.5, rate=0.5, momentum=0.9, **kwargs):
        super().__init__(**kwargs)
        self.settings = dict(
            filter_ratio=filter_ratio, rate=rate, momentum=momentum
        )
        self.policy = IndependentSelection(filter_ratio, score="hard_learner")
        self.in_random_order = UniformSelection(filter_ratio=0.0)
        self.mean = self.add_weight(
            shape=(),
            dtype="float32",
            initializer=keras.initializers.Constant(math.nan),  # None yet.
            trainable=False,
        )

    def num_kept(self, num_rows):
        return self.policy.num_kept(num_rows)

    def select(self, learner, reference, seed):
        losses, momentum = learner.values, self.settings["momentum"]
        now = ops.mean(losses)
        last = ops.convert_to_tensor(self.mean)
        mean = ops.where(ops.isnan(last), now, last)
        mean = momentum * mean + (1 - momentum) * now
        self.mean.assign(mean)
        other_seed = ops.bitwise_not(seed)
        order = self.in_random_order.select(learner, reference, other_seed)
        place = ops.argsort(order)
        is_unlucky = place < round(self.settings["rate"] * losses.shape[0])
        is_dropped = ops.logical_and(losses < mean, is_unlucky)
        # What is not finite is drawn last.
        scores = ops.where(ops.isfinite(losses), 0.0, math.nan)
        scores = ops.where(is_dropped, -1000.0, scores)
        return self.policy.select(LossGivenSet(scores), reference, seed)

    def get_config(self):
        return {**super().get_config(), **self.settings}


table["Selective-Backprop"] = train(SelectiveBackprop())
table["InfoBatch-style"] = train(InfoBatchStyle())

"""
## A policy that reads a column

What the data say of a row may matter, too. A policy that has `columns` gets
them by name in `select`, as tensors of as many rows as there are losses.
Models that name their inputs do not see them.

The column below says how much a label is to be trusted: the share of a row's
ten nearest neighbours that were given the same label. Nobody looks at a clean
label for that. The policy draws with that share as the odds, and so reads no
losses: `needs` is empty, and no model scores.
"""


@keras.saving.register_keras_serializable(package="guide")
class TrustedRows(SelectionPolicy):
    needs = ()
    columns = ("trust",)

    def select(self, learner, reference, seed, trust):
        draw = IndependentSelection(
            self.filter_ratio, self.sub_batch_size, score="hard_learner"
        )
        odds = LossGivenSet(ops.log(trust + 1e-3))
        return draw.select(odds, odds, seed)


distances = np.linalg.norm(pixels[:, None] - pixels[None], axis=-1)
neighbours = np.argsort(distances, axis=1)[:, 1:11]
trust = np.mean(labels[neighbours] == labels[:, None], axis=1)
with_trust = {**data, "trust": trust.astype("float32")}
table["trusted rows"] = train(TrustedRows(0.5), with_trust)

"""
`ConceptBalance` is a policy of the library that reads a column, and has a
memory, too: it counts how often each concept was trained on, and takes rows of
those that were trained on too little so far. A column `concepts` names the
concepts of each row, as integers. Here it is the label as it was given, right
or wrong.
"""

with_concepts = {**data, "concepts": labels}
table["concept balance"] = train(ConceptBalance(10, 0.5), with_concepts)

"""
## What they keep

`wrong` is the share of wrong labels among the picks, `rarest` how often a row
of the three rarest digits is picked, compared with how often there is one, and
`test` the accuracy on test rows, of one seed: read no more than large
differences.
"""

is_rare = classes >= 7
print(f"{'policy':20s} {'wrong':>6s} {'rarest':>7s} {'test':>6s}")
for name, (picks, accuracy) in table.items():
    wrong = np.mean(is_wrong[picks])
    rare = np.mean(is_rare[picks]) / np.mean(is_rare)
    print(f"{name:20s} {wrong:6.0%} {rare:7.2f} {accuracy:6.3f}")

figure, axis = plt.subplots(figsize=(7, 3.5))
for name in ("uniform", "gradient-norm bound", "concept balance"):
    shares = np.bincount(labels[table[name][0]], minlength=10)
    axis.plot(shares / np.sum(shares), "o-", label=name)
axis.set(xlabel="label as given", ylabel="share of the picks", ylim=0)
axis.set_xticks(range(10))
axis.legend()
figure.tight_layout()
figure.savefig(results / "labels_kept.png", dpi=120)

"""
The gradient-norm bound, Selective-Backprop and InfoBatch score by the learner
and know no reference. So they prefer wrong labels, and the table says how much:
they are for clean data. The two that read a column do without any scoring, and
are as good as what their column says.

## Takeaways

- Registered with Keras, all of these are saved with the model.
- A policy is written with `keras.ops` alone: then it runs on every backend, and
  inside the compiled step.
- A policy with a memory, or with a random draw of its own, uses the seed that
  it is given: a run that is stopped goes on with the same draws.
"""
