"""What a log holds of whole super-batches: one line per step.

It lies beside the log of picks, at `<path>.steps` (and, while the run goes
on, at `<path>.steps.unfinished`), in the same two formats: a file of its own,
since its lines are steps and those of the log are picked rows, and with one
line per step, since then all that holds for logs holds for it, such as going
on after a kill. The columns, of which a log has those that it was asked for:

- `step`: int32.
- `seen`: binary. The keys of the super-batch, 16 bytes for each of its rows,
  in their order.
- `super_batch_rows`, `sub_batch_rows`: list of int32, null where there is no
  snapshot. Which rows of the super-batch it shows; those of the sub-batch in
  the order in which they were picked.
- `super_batch_scores`, `sub_batch_scores`: list of float32, the score of each.
- `super_batch_learner`, `super_batch_reference`, `sub_batch_learner`,
  `sub_batch_reference`: list of float32, the logits of all pairs of these
  rows, one picture's after another's.
"""

import os
import re

import numpy as np

from keras_jest.data.require import require

STEPS = ".steps"
UNFINISHED = ".unfinished"
PARTS = ("super_batch", "sub_batch")
MODELS = ("learner", "reference")


def steps_path(log):
    """Where the steps of a log are.

    Args:
        log: str or path of a log, complete, unfinished or moved aside.
    """
    # One that was moved aside ends in a number.
    match = re.fullmatch(
        r"(.*?)((\.unfinished(\.\d+)?)?)", os.fspath(log), re.S
    )
    return match[1] + STEPS + match[2]


def step_columns(steps, keys=None, snapshots=None):
    """The columns of some steps.

    Args:
        steps: list of int.
        keys: list of int32 arrays of shape `(n, 4)`, or `None`.
        snapshots: list with `None` or two snapshots for each step, of the
            super-batch and of the sub-batch; or `None`.

    Returns:
        Dict of arrays.
    """
    pyarrow = require("pyarrow", "keras-jest[parquet]")
    columns = {"step": np.array(steps, "int32")}
    if keys is not None:
        texts = [np.asarray(of).astype("<i4").tobytes() for of in keys]
        columns["seen"] = pyarrow.array(texts, pyarrow.binary())
    if snapshots is None:
        return columns
    for part, name in enumerate(PARTS):
        for of in ("rows", "scores", *MODELS):
            kind = pyarrow.int32() if of == "rows" else pyarrow.float32()
            lists = [both and both[part][of].ravel() for both in snapshots]
            columns[f"{name}_{of}"] = pyarrow.array(lists, pyarrow.list_(kind))
    return columns
