"""
Title: Choosing a selection policy
Author: The keras_jest authors
Date created: 2026/11/21
Last modified: 2026/11/21
Description: Which policy, which score, which model scores, when, and the cost.
Accelerator: None
"""

"""
## Introduction

[Getting started](getting_started.py) selects with the defaults. This guide is
for the decisions after that. Each section prints a small table on real data, so
that you can check what it says.

| you must decide | take | if |
|---|---|---|
| the policy | joint | the loss compares examples: image-text pairs |
| | independent | each example has a loss of its own: classifiers |
| | uniform | always, once: the control of your experiment |
| the score | `learnability` | there is noise, and good data for a reference |
| | `easy_reference` | there is noise, and scoring must be cheap |
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
from keras_jest.data import Replay
from keras_jest.data import Tokenizer
from keras_jest.data import record_key
from keras_jest.data import recorded_rows
from keras_jest.datasets import pictograms
from keras_jest.evaluation import computation
from keras_jest.losses import LossGivenSet
from keras_jest.losses import OwnSimilarityLoss
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
    "joint, 4 chunks": JointSelection(num_chunks=4),
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
for gain in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, math.inf):
    picks = picks_of(IndependentSelection(0.5, gain=gain))
    is_finite = 0 < gain < math.inf
    spread = math.log(gain * np.std(scores)) if is_finite else math.nan
    print(
        f"{gain:6} {spread:11.2f} {np.mean(np.isin(picks, top)):5.0%} "
        f"{np.mean(is_wrong[picks]):13.0%}"
    )

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
  reference is no better than the learner, and where a class is hard for the
  reference: its rows are then taken for noise and left out.
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


def select_in_training(selection, data=own, name="picks", **kwargs):
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
    log = SelectionLog(results / f"{name}.parquet")
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
### Once, for many learners

Where an online model scores, the learner has no part in the choice. So one run
can choose for other learners of the same sub-batch size. `SelectionLog` has
written what was chosen; `Replay` yields it again. Nothing is scored, and any
Keras model will do. From tar shards, pass the chosen rows to `super_batches`.
"""

select_in_training(
    half, name="to_replay", online=make_scorer(2), reference=reference
)
replay = Replay(
    results / "to_replay.parquet", own, own_labels, sub_batch_size=32
)
wide = classifier(512, 256, seed=3)
train_again = ClassAct(wide)
train_again.compile(
    keras.optimizers.Adam(3e-3), loss=cross_entropy, selection=None
)
train_again.fit(replay, shuffle=False, verbose=0)
predicted = np.argmax(wide.predict(test_pixels, verbose=0), axis=1)
print(f"Replayed {len(replay)} steps: {np.mean(predicted == test_labels):.3f}")

"""
## What does it cost?

Count in forward passes of one example. Training costs three of them, one
forward and two for the backward pass. Let `F_l`, `F_o` and `F_r` be the forward
pass of learner, online model and reference; `rho` the size of the super-batch
over that of the sub-batch, `1 / (1 - filter ratio)`; and `beta` the updates
that the run needs, as a share of those of uniform training. For each example
that uniform training would train on:

    uniform   = 3 F_l
    selecting = beta * (3 F_l + rho F_o + 3 F_o + rho F_r) + 3 F_r n_ref

The five terms are learner training, online scoring, online training, reference
scoring and reference training. `n_ref` is how long the reference is trained, in
the uniform run's lengths: 0 if you have it already. If the learner scores,
`rho F_l` takes the place of `rho F_o + 3 F_o`.

`computation` counts them. Take a ViT-L that a ViT-Ti chooses for, at `rho = 2`,
in GFLOPs, with the 26 % of updates that ClassAct saved there.
"""

forward = {"Ti": 1.25, "S": 4.57, "B": 17.5, "L": 61.2}
uniform = computation(forward["L"], num_trained=1)["total"]
terms = computation(
    forward["L"],
    num_trained=0.74,
    num_scored=2 * 0.74,
    online=forward["Ti"],
    reference=forward["Ti"],
    num_reference=1,
)
print("\nTi chooses for L, beta = 0.74, in units of the uniform run:")
for name, cost in terms.items():
    print(f"  {name:20s} {cost / uniform:6.3f}")

"""
Then leave out what you need not pay. A reference that serves many runs drops
its training; stored losses drop its scoring, too; a replayed run has only
learner training left. Below are the updates that the paper's figure shows for
three sizes of scorer, and the ratio R of computation. Under 1 it pays.
"""

saved = {"Ti": 0.26, "S": 0.30, "B": 0.31}
print(f"\n{'scorer':7s} {'beta':>5s} {'all terms':>10s}", end="")
print(f" {'given':>6s} {'stored':>7s} {'replayed':>9s}")
for scorer, share in saved.items():
    beta, size = 1 - share, forward[scorer]
    levels = [
        {"online": size, "reference": size, "num_reference": 1},
        {"online": size, "reference": size},
        {"online": size},
        {},
    ]
    ratios = [
        computation(forward["L"], beta, 2 * beta, **level)["total"] / uniform
        for level in levels
    ]
    whole, given, losses, replayed = (f"{ratio:.2f}" for ratio in ratios)
    print(f"{scorer:7s} {beta:5.2f} {whole:>10s} {given:>6s}", end="")
    print(f" {losses:>7s} {replayed:>9s}")

"""
The largest scorer saves the most updates and costs more than uniform training.

### Break-even

Solve `selecting = uniform` for `beta`. Let both scorers have one size, and
`phi` be their forward pass over the learner's:

    beta* = (1 - n_ref phi) / (1 + 2 rho phi / 3 + phi)

A run that needs a larger share of the updates than `beta*` loses. In code it is
what is left of the uniform run after the reference's training, over what an
update costs.
"""


def break_even(learner, scorer, rho, num_reference=1):
    """The share of updates at which selection costs what it saves."""
    uniform = computation(learner, num_trained=1)["total"]
    cost = computation(learner, 1, rho, scorer, scorer, False, num_reference)
    once = cost["reference training"]
    return (uniform - once) / (cost["total"] - once)


ratios = (2, 5, 10)
for num_reference in (1, 0):
    how = "trained" if num_reference else "given"
    print(f"\nbreak-even beta*, ViT-L, reference {how}")
    print(f"{'scorer':7s}" + "".join(f"{f'rho {rho}':>8s}" for rho in ratios))
    for scorer in saved:
        betas = [
            break_even(forward["L"], forward[scorer], rho, num_reference)
            for rho in ratios
        ]
        print(f"{scorer:7s}" + "".join(f"{beta:8.2f}" for beta in betas))

"""
Where the learner scores, even stored losses leave a full forward pass over the
super-batch. At RHO-LOSS' filter ratio of 0.9 a step costs 4.33 uniform steps:
it must need fewer than 23 % of the updates.
"""

step = computation(1.0, num_trained=1, num_scored=10, learner_scores=True)
times = step["total"] / computation(1.0, num_trained=1)["total"]
print(f"\nlearner scores, rho 10: {times:.2f} steps, beta* = {1 / times:.2f}")

sizes = np.geomspace(1e-3, 0.9, 100)
figure, axis = plt.subplots(figsize=(7, 4.5))
for color, rho in zip(
    ("tab:blue", "tab:orange", "tab:red"), ratios, strict=True
):
    for num_reference, style in ((1, "-"), (0, "--")):
        betas = [break_even(1.0, size, rho, num_reference) for size in sizes]
        how = "trained" if num_reference else "given"
        label = f"rho = {rho}, reference {how}"
        axis.plot(sizes, betas, style, color=color, label=label)
for scorer, share in saved.items():
    size = forward[scorer] / forward["L"]
    axis.plot(size, 1 - share, "k^")
    axis.annotate(f" {scorer}", (size, 1 - share), va="top")
axis.plot([], [], "k^", label="ClassAct for ViT-L, rho = 2")
axis.set(
    xscale="log",
    ylim=(0, 1.05),
    xlabel="forward pass of a scorer over that of the learner, phi",
    ylabel="share of uniform updates, beta",
    title="A run pays if it stays below its line",
)
axis.grid(alpha=0.3)
axis.legend(fontsize=8)
figure.tight_layout()
figure.savefig(results / "break_even.png", dpi=120)
print(f"\nPicture: {results}/break_even.png")

"""
Selection loses

- on clean data that you want to see many times: there is little to leave out;
- with a reference that is no better than the learner will be, or that has
  learnt the same noise;
- if reading and decoding is your limit: `rho` times as much is read;
- in a single small run, which pays for the training of its reference alone;
- if `beta` was measured against a uniform run that was cut off before its
  learning rate had decayed. Give each run a schedule of its own length.

And FLOPs are not time. A small model uses a device less well than a large one,
a super-batch needs memory, and a pipeline may wait. Measure seconds as well.
"""

"""
## Scores of your own

A score is a function of two losses. There are three places for something else:
a `score_loss`, which says what is computed from a model's outputs; a `score`,
which says how two losses become one number; and a policy, which may keep a
memory. Four known methods follow.

### CLIP-score

Keep the pairs whose image and text are most similar for a fixed model. That is
`easy_reference` with the pair's own similarity as the loss, and the top 30 % as
is usual for DataComp. The score never changes, so for more than one run store
it.
"""

clip_score = IndependentSelection(0.7, score="easy_reference", gain=math.inf)
own_similarity = OwnSimilarityLoss(gain=1.0)

model = JESTModel(dual_encoder(0), pair_reference, seed=0)
model.compile(
    "adam", loss=contrastive, selection=clip_score, score_loss=own_similarity
)
log = SelectionLog(results / "clip_score.parquet")
pool_keys = {**pool_inputs, "key": pool["key"]}
model.fit(pool_keys, batch_size=640, verbose=0, callbacks=[log])
picks = np.concatenate(recorded_rows(log.path, pool["key"]))
print(f"\nCLIP-score: {np.mean(is_noise[picks]):.0%} noise", end="")
print(f" of {np.mean(is_noise):.0%} in the pool")

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

"""
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


"""
All three score by the learner and know no reference. So they all prefer wrong
labels, and the table says how much. They are for clean data.
"""

of_their_own = {
    "gradient-norm bound": (highest, {"score_loss": GradientNormBound()}),
    "Selective-Backprop": (SelectiveBackprop(), {}),
    "InfoBatch-style": (InfoBatchStyle(), {}),
}
print(f"\n{'policy':22s} {'wrong':>6s} {'test':>6s}")
for name, (policy, arguments) in of_their_own.items():
    if isinstance(policy, layers.Layer):
        arguments = {**arguments, "policy": policy}
    steps, accuracy = select_in_training(policy, **arguments)
    wrong = np.mean(is_wrong[np.concatenate(steps)])
    print(f"{name:22s} {wrong:6.0%} {accuracy:6.3f}")

"""
## Takeaways

- Pairs: joint. Classifiers: independent. Always: uniform as the control.
- With noise the score needs a reference. Without one, hard means wrong.
- Watch `log_spread`: a gain that is too low pays for scoring and selects
  nothing.
- A scorer of a fiftieth of the learner breaks even early; one of more than a
  quarter hardly does. Store or share what you can.
- What is not in the library is a `score_loss`, a `score`, or a small policy.
"""
