"""
Title: Choosing a selection policy
Author: The keras_jest authors
Date created: 2026/11/21
Last modified: 2026/11/28
Description: Which policy, which score, which gain, which model scores, and when.
Accelerator: None
"""

"""
## Introduction

[Getting started](getting_started.py) selects with the defaults. This guide is
for the decisions after that. Each section prints a small table on real data, so
that you can check what it says. What each choice costs, and when it pays, is
counted in [another guide](what_selection_costs.py); if nothing here fits, [write
a policy of your own](writing_your_own_policy.py).

| you must decide | take | if |
|---|---|---|
| the policy | joint | the loss compares examples: image-text pairs |
| | independent | each example has a loss of its own: classifiers |
| | uniform | always, once: the control of your experiment |
| the score | `easy_reference` | there is noise, and good data for a reference |
| | `learnability` | the same, and the reference stays ahead of the learner |
| | `hard_learner` | there is no noise, and no reference |
| who scores | the learner | it is small, or saves very many updates |
| | an online model | the learner is large |
| | stored losses | more than one run uses the same data |
| the gain | 1 | scores are differences of cross-entropies |
| | larger | `log_spread` is below about -1 |
| | `inf` | you want the top and nothing else: RHO-LOSS |
| none of it | `selection=None` | the data is clean, or reading is the limit |

- [Bad students make great teachers](https://arxiv.org/abs/2312.05328)
  (ClassAct, ActiveCLIP)
- [Data curation via joint example selection](https://arxiv.org/abs/2406.17711)
  (JEST)
- [Prioritized training on points that are learnable, worth learning, and not
  yet learnt](https://arxiv.org/abs/2206.07137) (RHO-LOSS)
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
from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest import JointSelection
from keras_jest import UniformSelection
from keras_jest.callbacks import SelectionLog
from keras_jest.data import Tokenizer
from keras_jest.data import record_key
from keras_jest.data import recorded_rows
from keras_jest.datasets import pictograms
from keras_jest.evaluation import computation
from keras_jest.losses import LossGivenSet
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder
from keras_jest.models import PrecomputedLosses
from keras_jest.models import precompute_losses

num_epochs = int(os.environ.get("NUM_EPOCHS", 10))
num_pairs = int(os.environ.get("NUM_PAIRS", 2560))
results = pathlib.Path(os.environ.get("RESULTS", "results"))
results.mkdir(exist_ok=True)

"""
## Two small problems

The first is a classifier: handwritten digits, of which 40 % of the training
rows have another label than their own. Even rows are the learner's and odd rows
the reference's. The test rows keep their labels.
"""

digits = load_digits()
rng = np.random.default_rng(0)
order = rng.permutation(len(digits.target))
pixels = (digits.data[order] / 16).astype("float32")
clean = digits.target[order].astype("int32")
other = (clean + rng.integers(1, 10, len(clean))) % 10
given_labels = np.where(rng.random(len(clean)) < 0.4, other, clean)
given_labels = given_labels.astype("int32")


def rows_of(rows):
    keys = np.stack([record_key(str(row)) for row in rows])
    return {"pixels": pixels[rows], "key": keys}, given_labels[rows]


own_rows, held_out_rows = np.arange(0, 1280, 2), np.arange(1, 1280, 2)
own, own_labels = rows_of(own_rows)
held_out, held_out_labels = rows_of(held_out_rows)
is_wrong = own_labels != clean[own_rows]
print(f"{len(is_wrong)} rows of the learner, {np.mean(is_wrong):.0%} wrong")


def classifier(*widths, seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((64,), name="pixels")])
    for width in widths:
        model.add(layers.Dense(width, activation="relu"))
    model.add(layers.Dense(10))
    return model


def make_learner():
    return classifier(256, 256, seed=0)


def make_scorer(seed):
    return classifier(32, seed=seed)


"""
A *scorer* is a small model that scores in the learner's place: the online model
and the reference have its size. The reference below has seen 640 other rows,
with labels as wrong as the learner's. The online model is stopped in the middle
of its training.
"""

cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def train_plainly(model, inputs, labels, epochs):
    trainer = ClassAct(model)
    rate = keras.optimizers.Adam(3e-3)
    trainer.compile(rate, loss=cross_entropy, selection=None)
    trainer.fit(inputs, labels, batch_size=32, epochs=epochs, verbose=0)


reference, online = make_scorer(1), make_scorer(2)
train_plainly(reference, held_out, held_out_labels, 2 * num_epochs)
train_plainly(online, own, own_labels, (num_epochs + 1) // 2)
online_losses, reference_losses = (
    precompute_losses(model, own, own_labels, cross_entropy, verbose=0)
    for model in (online, reference)
)

"""
The second is an image-text model: drawings of emoji with captions, of which
70 % are noise, and a reference that has seen good pairs.
"""

train, curated, _ = pictograms.load_data(image_size=16)
pool = pictograms.web_pool(train, clean_share=0.3, num_pairs=num_pairs, seed=0)
good = pictograms.web_pool(curated, clean_share=1, num_pairs=num_pairs, seed=1)
is_noise = pool["source"] != "clean"
tokenizer = Tokenizer.train(
    [*pool["captions"], *good["captions"]],
    vocabulary_size=1000,
    sequence_length=12,
)


def as_inputs(split):
    captions = [str(caption) for caption in split["captions"]]
    return {"images": split["images"], "token_ids": tokenizer(captions)}


pool_inputs, good_inputs = as_inputs(pool), as_inputs(good)


def dual_encoder(seed):
    keras.utils.set_random_seed(seed)
    images = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 127.5, offset=-1.0),
            layers.Conv2D(32, 4, strides=4, activation="gelu"),
            layers.Flatten(),
            layers.LayerNormalization(),
            layers.Dense(64),
        ]
    )
    texts = keras.Sequential(
        [
            keras.Input((12,), dtype="int32"),
            layers.Embedding(tokenizer.vocabulary_size, 64),
            layers.GlobalAveragePooling1D(),
            layers.LayerNormalization(),
            layers.Dense(64),
        ]
    )
    return DualEncoder(images, texts, logit_bias=-math.log(128))


contrastive = SigmoidContrastiveLoss()


def train_pairs_plainly(model, inputs, epochs):
    trainer = JESTModel(model)
    rate = keras.optimizers.Adam(3e-3)
    trainer.compile(rate, loss=contrastive, selection=None)
    trainer.fit(inputs, batch_size=128, epochs=epochs, verbose=0)
    return model


pair_reference = train_pairs_plainly(dual_encoder(1), good_inputs, num_epochs)
pair_learner = train_pairs_plainly(dual_encoder(0), pool_inputs, 1)

"""
## Which policy?

- `UniformSelection` reads no losses and scores nothing. It needs nothing but
  super-batches, and every claim is a claim against it.
- `IndependentSelection` reads one loss for each example. It makes one draw with
  odds `exp(gain * score)`. A loss that knows no other example needs no more:
  `add` changes nothing there, so joint selection would follow the same law.
- `JointSelection` needs a loss that compares examples, such as
  `SigmoidContrastiveLoss`. It fills the sub-batch in chunks, and each chunk
  knows what was chosen before. It looks for pairs that the learner confuses
  *with each other* and the reference does not.

Below each policy keeps 128 of 640 drawings. `learnability` is that of the
sub-batch as a whole: the learner's loss on those 128 pairs, minus the
reference's.
"""


def as_seed(number):
    return ops.convert_to_tensor(number, dtype="int32")


batch = {name: values[:640] for name, values in pool_inputs.items()}
learner_pairs, reference_pairs = (
    model.predict(batch, batch_size=640, verbose=0)
    for model in (pair_learner, pair_reference)
)


def loss_of_sub_batch(pairs, picks):
    sub_batch = {name: values[picks] for name, values in pairs.items()}
    return float(ops.mean(contrastive.call((), sub_batch)))


policies = {
    "uniform": UniformSelection(),
    "independent": IndependentSelection(),
    "independent, gain inf": IndependentSelection(gain=math.inf),
    "joint": JointSelection(),
    "joint, gain inf": JointSelection(gain=math.inf),
    "joint, gain 0.03": JointSelection(gain=0.03),
}
print(f"\n{'policy':24s} {'noise':>6s} {'learnability':>13s}")
for name, policy in policies.items():
    picks = ops.convert_to_numpy(
        policy.select(
            contrastive.given(learner_pairs),
            contrastive.given(reference_pairs),
            as_seed(0),
        )
    )
    hard, easy = (
        loss_of_sub_batch(pairs, picks)
        for pairs in (learner_pairs, reference_pairs)
    )
    noise = np.mean(is_noise[:640][picks])
    print(f"{name:24s} {noise:6.0%} {hard - easy:13.2f}")

"""
At the same gain joint selection reaches a higher learnability of the whole.
That is what it is made for. It is not yet a better model: compare with
independent selection on your own data. With small sub-batches the difference
may be lost in the noise of a run.

### The gain

- 0 ignores the scores: a uniform draw, which still pays for scoring.
- 1 is the usual choice for cross-entropy, where the odds of an example are
  then the reference's probability of its label over the learner's.
- `inf` takes the highest scores, and no draw takes place.

What counts is the gain times the spread of the scores. `ClassAct` and
`ActiveCLIP` show it in the progress bar as `log_spread`, the logarithm of the
standard deviation of `gain * score`. Here it is beside what it does. Half of
the 640 digits are kept; `top` is the share of the picks that `inf` would take,
too. Chance is 50 %.
"""


def picks_of(policy, num_seeds=10):
    """What a policy keeps of the learner's rows, over some seeds."""
    losses = [
        LossGivenSet(ops.convert_to_tensor(values))
        for values in (online_losses, reference_losses)
    ]
    draws = [policy.select(*losses, as_seed(n)) for n in range(num_seeds)]
    return np.concatenate([ops.convert_to_numpy(draw) for draw in draws])


scores = online_losses - reference_losses
top = picks_of(IndependentSelection(0.5, gain=math.inf), num_seeds=1)
print(f"\n{'gain':>6s} {'log_spread':>11s} {'top':>5s} {'wrong labels':>13s}")
spreads, tops, wrongs = [], [], []
for gain in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, math.inf):
    picks = picks_of(IndependentSelection(0.5, gain=gain))
    is_finite = 0 < gain < math.inf
    spreads.append(math.log(gain * np.std(scores)) if is_finite else math.nan)
    tops.append(np.mean(np.isin(picks, top)))
    wrongs.append(np.mean(is_wrong[picks]))
    print(f"{gain:6} {spreads[-1]:11.2f} {tops[-1]:5.0%} {wrongs[-1]:13.0%}")

figure, axis = plt.subplots(figsize=(6, 3.5))
axis.plot(spreads, tops, "o-", label="of the rows that inf would take")
axis.plot(spreads, wrongs, "s-", label="of wrong labels")
axis.set(xlabel="log_spread", ylabel="share among the picks", ylim=(0, 1))
axis.legend()
figure.tight_layout()
figure.savefig(results / "gain.png", dpi=120)

"""
Below about -1 a draw is uniform in all but name. Then raise the gain.
Differences of cosine similarities are a few hundredths apart, which is why
`OwnSimilarityLoss` multiplies them by the model's logit scale. Joint selection
is the other way round: its scores are sums over all that was chosen. So they
spread more with every chunk, and the larger the sub-batch, the closer a gain of
1 is to `inf`. With 128 rows it is not close yet, as the first table shows.
"""

"""
## Which score?

- `learnability`, the learner's loss minus the reference's. It fails where the
  reference is no better than the learner, which a run tells by a
  `kept_learnability` below 0, and where a class is hard for the reference: its
  rows are then taken for noise and left out.
- `hard_learner`, the learner's loss. It fails on noise: nothing is as hard as a
  wrong label.
- `easy_reference`, minus the reference's loss. It fails by keeping what the
  learner has known for long, and it does not change during the run.

Two columns are about the picks whose labels are right. `easy` is the share of
them that the online model finds easier than most; chance is 50 %. `rarest
class` is how often a class is picked compared with its share of the rows, for
the class that fares worst.
"""

is_easy = online_losses < np.median(online_losses[~is_wrong])
class_of_row = clean[own_rows]
offered = np.bincount(class_of_row[~is_wrong], minlength=10) / sum(~is_wrong)
print(
    f"\n{'score':15s} {'gain':>5s} {'wrong':>6s} {'easy':>6s} "
    f"{'rarest class':>13s}"
)
for score in ("hard_learner", "easy_reference", "learnability"):
    for gain in (1.0, math.inf):
        policy = IndependentSelection(0.5, score=score, gain=gain)
        picks = picks_of(policy)
        wrong, right = np.mean(is_wrong[picks]), picks[~is_wrong[picks]]
        picked = np.bincount(class_of_row[right], minlength=10) / len(right)
        print(
            f"{score:15s} {gain:5} {wrong:6.0%} {np.mean(is_easy[right]):6.0%} "
            f"{np.min(picked / offered):13.2f}"
        )

"""
The higher the gain, the more a score does of both: what it is good at, and what
it is bad at. On Clothing-1M, RHO-LOSS raised the mean accuracy from 69.6 to
71.1 % and lowered that of the worst class from 39.2 to 27.8 %, as the authors
of REDUCR measured. If rare classes matter, draw with a finite gain, and look at
what is picked.
"""

"""
## Which model scores?

The models that you pass say which method it is.

- The learner itself: no `online`. It knows best what it knows, and its forward
  pass over the super-batch is the dearest. JEST does this, and RHO-LOSS, which
  takes the top.
- An online model: small, of the reference's size, trained on the same picks.
  This is ClassAct, and ActiveCLIP for pairs.
- Nobody but the reference: `easy_reference`.
- Stored losses: `PrecomputedLosses` reads what `precompute_losses` computed
  once, for as many runs as you like. For pairs `Precomputed` stores embeddings.
  Neither is right if examples are augmented at random.
- A reference that is trained in the run: `train_reference=True`. It learns on
  whole super-batches and needs a higher learning rate than the learner, so that
  it stays ahead.

Keep online model and reference of one size. Otherwise the difference of their
losses says which of them is larger, too.
"""


def forward_cost(model):
    """Multiply-adds of one example."""
    kernels = [layer.kernel for layer in model.layers]
    return sum(math.prod(kernel.shape) for kernel in kernels)


cost_of_learner = forward_cost(make_learner())
cost_of_scorer = forward_cost(make_scorer(1))
step_of_32 = computation(cost_of_learner, num_trained=32)["total"]
test_pixels, test_labels = pixels[1280:], clean[1280:]


def select_in_training(selection, data=own, **kwargs):
    """Train on half of each super-batch of 64. Returns rows and accuracy."""
    names = ("first_step", "last_step", "score_loss", "reference_optimizer")
    compiled = {of: kwargs.pop(of) for of in names if of in kwargs}
    model = ClassAct(make_learner(), seed=0, **kwargs)
    model.compile(
        keras.optimizers.Adam(3e-3),
        loss=cross_entropy,
        selection=selection,
        **compiled,
    )
    log = SelectionLog(results / "picks.parquet")
    model.fit(
        data,
        own_labels,
        batch_size=64,
        epochs=num_epochs,
        callbacks=[log],
        verbose=0,
    )
    logits = model.learner.predict(test_pixels, verbose=0)
    accuracy = np.mean(np.argmax(logits, axis=1) == test_labels)
    return recorded_rows(log.path, own["key"]), accuracy


half = IndependentSelection(0.5)
stored = {**own, "reference_loss": reference_losses}
scoring = {"num_trained": 32, "num_scored": 64}
small_online = {"online": cost_of_scorer}
small_reference = {"reference": cost_of_scorer}
runs = {
    "nobody: uniform": (
        {"selection": UniformSelection(0.5)},
        {"num_trained": 32},
    ),
    "learner, gain inf": (
        {
            "selection": IndependentSelection(0.5, gain=math.inf),
            "reference": reference,
        },
        {**scoring, "learner_scores": True, **small_reference},
    ),
    "online model": (
        {"selection": half, "online": make_scorer(2), "reference": reference},
        {**scoring, **small_online, **small_reference},
    ),
    "only the reference": (
        {
            "selection": IndependentSelection(0.5, score="easy_reference"),
            "reference": reference,
        },
        {**scoring, **small_reference},
    ),
    "online, stored losses": (
        {
            "selection": half,
            "data": stored,
            "online": make_scorer(2),
            "reference": PrecomputedLosses(),
        },
        {**scoring, **small_online},
    ),
    "online, trained reference": (
        {
            "selection": half,
            "online": make_scorer(2),
            "reference": make_scorer(1),
            "train_reference": True,
            "reference_optimizer": keras.optimizers.Adam(6e-3),
        },
        {**scoring, **small_online, **small_reference, "num_reference": 64},
    ),
}
print(f"\n{'who scores':26s} {'cost a step':>12s} {'wrong':>6s} {'test':>6s}")
rows_by_run = {}
for name, (arguments, terms) in runs.items():
    steps, accuracy = select_in_training(**arguments)
    rows_by_run[name] = np.concatenate(steps)
    cost = computation(cost_of_learner, **terms)["total"] / step_of_32
    wrong = np.mean(is_wrong[rows_by_run[name]])
    print(f"{name:26s} {cost:12.2f} {wrong:6.0%} {accuracy:6.3f}")
same = np.mean(
    rows_by_run["online model"] == rows_by_run["online, stored losses"]
)
print(f"Stored losses: {same:.0%} of the picks are those of the live reference")

"""
All runs make as many updates. Cost is in uniform steps, and does not include
the reference's own training unless it happens in the run. Accuracy is that of
one seed: read no more than large differences.

Where so many labels are wrong and the run is short, to leave noise out is most
of what there is to gain, and `easy_reference` may do best. A reference that
starts with the learner tells little in the first steps.
"""

"""
## When to select?

`first_step` and `last_step` are arguments of `compile`. Outside of them the
same number of rows is drawn uniformly and nothing is scored. A late first step
spares the time in which an online model knows nothing, so that its score is
mostly the reference's. An early last step lets the learner see all of its data
again.

If another device scores while this one trains, scores are a step old. The
models' argument `score_delay=1` gives such scores in one process, to try what
that does.
"""

total = num_epochs * 10
first, last = total // 3, 2 * total // 3
steps, _ = select_in_training(
    half,
    online=make_scorer(2),
    reference=reference,
    first_step=first,
    last_step=last,
)
print(f"\n{'steps':12s} {'wrong labels among the picks':>30s}")
for start, end in ((0, first), (first, last), (last, total)):
    wrong = np.mean(is_wrong[np.concatenate(steps[start:end])])
    print(f"{f'{start} to {end - 1}':12s} {wrong:30.0%}")

"""
## Takeaways

- Pairs: joint. Classifiers: independent. Always: uniform as the control.
- With noise the score needs a reference. Without one, hard means wrong.
- Watch `log_spread`: a gain that is too low pays for scoring and selects
  nothing.
- Where an online model scores, the learner has no part in the choice: what one
  run has chosen, `SelectionLog` has written down, and
  `keras_jest.data.Replay` yields again for other learners.
"""
