"""
Title: What selection costs, and when it pays
Author: The keras_jest authors
Date created: 2026/11/28
Last modified: 2026/11/28
Description: Count what choosing costs; find where a run breaks even.
Accelerator: None
"""

"""
## Introduction

To choose what a model trains on, models must look at what it does not train on.
That costs computation, and so does the training of a reference. This guide
counts it by arithmetic alone: nothing is trained, and it ends in seconds. You
can put the sizes of your own models in.

What a run of yours costs, `keras_jest.callbacks.ComputeLedger` counts while it
runs. What may be chosen is in [choosing a selection
policy](choosing_a_selection_policy.py).

- [Bad students make great teachers](https://arxiv.org/abs/2312.05328), whose
  figures are used below
"""

"""
## Setup
"""

import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "jax")

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from keras_jest.evaluation import computation

results = pathlib.Path(os.environ.get("RESULTS", "results"))
results.mkdir(exist_ok=True)

"""
## Five terms

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
print("Ti chooses for L, beta = 0.74, in units of the uniform run:")
for name, cost in terms.items():
    print(f"  {name:20s} {cost / uniform:6.3f}")

"""
Then leave out what you need not pay. A reference that serves many runs drops
its training; stored losses drop its scoring, too; a replayed run has only
learner training left. Below are the updates that the paper's figure shows for
three sizes of scorer, and the ratio R of computation. Under 1 it pays.
"""

saved = {"Ti": 0.26, "S": 0.30, "B": 0.31}
print(f"{'scorer':7s} {'beta':>5s} {'all terms':>10s}", end="")
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
print(f"learner scores, rho 10: {times:.2f} steps, beta* = {1 / times:.2f}")

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
print(f"Picture: {results}/break_even.png")

"""
## When it does not pay

Selection loses

- on clean data that you want to see many times: there is little to leave out;
- with a reference that is no better than the learner will be, or that has
  learnt the same noise;
- if reading and decoding is your limit: `rho` times as much is read;
- in a single small run that trains a reference as large as the learner;
- if `beta` was measured against a uniform run that was cut off before its
  learning rate had decayed. Give each run a schedule of its own length.

And FLOPs are not time. A small model uses a device less well than a large one,
a super-batch needs memory, and a pipeline may wait. Measure seconds as well.
"""

"""
## Takeaways

- A scorer of a fiftieth of the learner breaks even early; one of more than a
  quarter hardly does.
- Store or share what you can: a reference that serves many runs, losses that
  were computed once, picks that are replayed.
- Whoever claims a gain counts all five terms.
"""
