"""
Title: Getting started with joint example selection
Author: The keras_jest authors
Date created: 2026/11/21
Last modified: 2026/11/21
Description: Let a model choose what it trains on, with one argument of `fit()`.
Accelerator: None
"""

"""
## Introduction

Training sets from the web are mostly noise, repetition and things that the
model knows already. A model that looks at more data than it trains on can
leave those out.

Joint example selection (JEST) does this in every training step:

1. The dataset yields a *super-batch*, several times larger than the batch you
   would train on.
2. The model that you train, the *learner*, computes its loss on it. So does a
   *reference*: a frozen model that has seen good data before.
3. A *policy* keeps the *sub-batch* on which the learner still does badly and
   the reference does well. Noise is hard for both, and known examples are easy
   for both: neither is kept.
4. The learner makes an ordinary training step on the sub-batch.

You keep `compile()`, `fit()`, `evaluate()` and your callbacks. This guide
trains a small image-text model on drawings of emoji with their names, of which
70 % are noise.

- [Data curation via joint example selection](https://arxiv.org/abs/2406.17711)
"""

"""
## Setup
"""

import math
import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers

import keras_jest
from keras_jest.callbacks import RetrievalEvaluation
from keras_jest.data import Tokenizer
from keras_jest.datasets import pictograms
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder

keras.utils.set_random_seed(0)

"""
## The data

`load_data()` returns three splits: drawings of eight vendors to train on, a
smaller curated split, and the drawings of a vendor that is in neither.
`web_pool()` makes a noisy pool of the first: wrong captions, boilerplate such
as "IMG_2034.jpg", empty pictures, near duplicates.
"""

num_pairs = int(os.environ.get("NUM_PAIRS", 10_000))
train, curated, test = pictograms.load_data(image_size=32)
pool = pictograms.web_pool(train, clean_share=0.3, num_pairs=num_pairs, seed=0)
good = pictograms.web_pool(
    curated, clean_share=1.0, num_pairs=num_pairs, seed=1
)

for row in range(6):
    print(f"{pool['source'][row]:15s} {pool['captions'][row]}")

"""
Text cannot pass through `fit()`. A tokenizer turns captions into rows of equal
length. What the dataset yields is a dict of arrays, one row per example.
"""

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

"""
## The models

Any two Keras models that return embeddings of one width make an image-text
model: a `DualEncoder`. Here they are a small convolutional net and a bag of
words, once as the reference and once as the learner. For large ones there is
`keras_jest.models.SigLIP`, and `HubDualEncoder` for those of keras-hub.

The loss asks of each image and each text of a batch whether they belong
together. One in 128 does, which is where `logit_bias` starts.
"""


def convolution(filters):
    return [
        layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(momentum=0.9),
        layers.Activation("gelu"),
    ]


def make_model():
    image_encoder = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 127.5, offset=-1.0),
            *convolution(32),
            *convolution(64),
            *convolution(128),
            layers.Flatten(),
            layers.LayerNormalization(),
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
    bias = -math.log(128)
    return DualEncoder(image_encoder, text_encoder, logit_bias=bias)


reference = make_model()
learner = make_model()

"""
## Train the reference

A `JESTModel` without a reference is an ordinary model. With `selection=None`
it trains on whole batches. A reference needs good data, not much of it.
"""

trainer = keras_jest.JESTModel(reference)
trainer.compile(
    keras.optimizers.Adam(2e-3), loss=SigmoidContrastiveLoss(), selection=None
)
trainer.fit(good_inputs, batch_size=128, epochs=3)

"""
## Train the learner on what is learnable

Here is the whole difference: batches are five times larger, and
`selection="joint"` keeps a fifth of each. Keys that no model names, such as
`key`, are not given to the models.

The progress bar shows `learnability`, the mean of learner loss minus reference
loss over the super-batch, and `kept_learnability`, the same over what was
kept.
"""

model = keras_jest.JESTModel(learner, reference, seed=0)
model.compile(
    keras.optimizers.Adam(2e-3),
    loss=SigmoidContrastiveLoss(),
    selection="joint",
)
evaluation = RetrievalEvaluation(test_inputs)
model.fit(pool_inputs, batch_size=640, epochs=8, callbacks=[evaluation])

"""
The callback has looked for the text of each drawing of the unseen vendor, and
for the drawing of each text, after every epoch.
"""

for row in evaluation.history:
    print({name: round(value, 3) for name, value in row.items()})

"""
## Choose how to select

A name stands for a policy with its defaults. To change them, pass the policy:

- `JointSelection(filter_ratio=0.9)` keeps a tenth; `sub_batch_size=128` keeps
  128 rows whatever the size of the super-batch.
- `num_chunks` is in how many draws the sub-batch is filled. Each draw knows
  what was chosen before it.
- `score` is `"learnability"`, `"hard_learner"` (needs no reference),
  `"easy_reference"`, or a function of the learner's and the reference's
  losses.
- `IndependentSelection` scores each example by itself, and `UniformSelection`
  draws at random: the control of your experiment.

`fit(..., selection=...)` overrides what was compiled, for one call.
"""


@keras.saving.register_keras_serializable(package="guide")
def cautious(learner, reference):
    return keras.ops.minimum(learner - reference, 5.0)


policy = keras_jest.JointSelection(
    sub_batch_size=64, num_chunks=8, score=cautious
)
model.fit(pool_inputs, batch_size=640, epochs=1, selection=policy)

"""
## See what is picked

A policy takes losses and returns row numbers, so you can ask it yourself.
"""

batch = {name: values[:640] for name, values in pool_inputs.items()}
loss = SigmoidContrastiveLoss()
learner_losses, reference_losses = (
    loss.given(
        encoder.predict(
            {name: batch[name] for name in encoder.input_keys},
            batch_size=640,
            verbose=0,
        )
    )
    for encoder in (learner, reference)
)
picks = keras_jest.JointSelection().select(
    learner_losses,
    reference_losses,
    keras.ops.convert_to_tensor(0, dtype="int32"),
)
picks = keras.ops.convert_to_numpy(picks)
source = pool["source"][:640]
print(f"{'kind':15s} {'super-batch':>12s} {'sub-batch':>12s}")
for kind in np.unique(source):
    shares = np.mean(source == kind), np.mean(source[picks] == kind)
    print(f"{kind:15s} {shares[0]:12.0%} {shares[1]:12.0%}")

"""
## Keep the learner

Nothing is selected in `evaluate()` and `predict()`. The learner is an ordinary
Keras model, and a saved `JESTModel` goes on training where it stopped, with
the same draws. A long run is best watched by the callback
`keras_jest.callbacks.BackupAndRestore`: after a kill at any step the same
script goes on with the very next record of `keras_jest.data.super_batches`.
"""

model.learner.save("learner.keras")
model.save("training.keras")
model = keras.models.load_model("training.keras")

"""
## When does it pay?

Scoring costs a forward pass of the learner over the super-batch, and one of
the reference. A training step costs about three forward passes over the
sub-batch. At a filter ratio of 0.8 a step of JEST thus costs 2.7 times a
uniform one if the reference is run once and for all
(`keras_jest.models.precompute`), and 4.3 times if one as large as the learner runs along. So selection
must save more steps than that, which it does where much of the data is noise
or known already, and does not on a small clean set that you want to see many
times.

Takeaways:

- Yield super-batches and pass `selection="joint"`.
- Spend your effort on the reference: it decides what counts as good.
- Compare with `selection="uniform"`, and count scored examples, too.
"""
