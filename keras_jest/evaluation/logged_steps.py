"""What a log holds of whole super-batches, as numbers of records."""

import os
from typing import NamedTuple

import numpy as np

from keras_jest.data.held_steps import differing
from keras_jest.data.open_log import as_far_as_whole
from keras_jest.data.open_log import open_log
from keras_jest.data.recording import recorded_settings
from keras_jest.data.step_columns import MODELS
from keras_jest.data.step_columns import PARTS
from keras_jest.data.step_columns import UNFINISHED
from keras_jest.data.step_columns import steps_path
from keras_jest.evaluation.logged_picks import found


class Shot(NamedTuple):
    """One part of a snapshot: `m` rows, and pairs of them `(m, m)`."""

    step: int
    part: str
    rows: np.ndarray
    scores: np.ndarray
    learner: np.ndarray
    reference: np.ndarray


class Step(NamedTuple):
    """A step; `records` of its super-batch, or `None`, and its shots."""

    step: int
    records: np.ndarray | None
    shots: list


def steps_file(log):
    """Where the steps of a log are, or `None` if it has none."""
    path = steps_path(log)
    paths = [path, path + UNFINISHED]
    return next((of for of in paths if os.path.exists(of)), None)


def is_of_run(path, log):
    """Whether a file of steps is of the run that a log is of.

    A run that keeps no steps leaves those of an earlier one where they are.
    The settings of two runs may be the same, but not what they saw and chose.
    """
    try:
        if differing(recorded_settings(path), recorded_settings(log)):
            return False
        step, seen = first_seen(path)
        return seen is None or picked(log, step).items() <= seen.items()
    except ValueError:
        return False  # Nothing, or nothing of that step, can be read.


def first_seen(path):
    """The first step of a file, and its keys by row, or `None`."""
    with open_log(path) as (schema, tables):
        first = next(iter(tables), None)
    if first is None or "seen" not in schema.names:
        return -1, None
    step = first["step"][0].as_py()
    text = first["seen"][0].as_py().hex()
    keys = [text[start : start + 32] for start in range(0, len(text), 32)]
    return step, dict(enumerate(keys))


def picked(log, step):
    """The keys that a log says were picked in a step, by row."""
    with open_log(log, ["step", "row", "key"]) as (_, tables):
        for table in tables:
            picks = table.filter(np.equal(table["step"].to_numpy(), step))
            if len(picks):
                rows, keys = (picks[of].to_pylist() for of in ("row", "key"))
                return dict(zip(rows, keys, strict=True))
    return {-1: None}  # It has no such step.


def logged_steps(path, index):
    """Yield the steps of a file of steps.

    Args:
        path: str, from `steps_file`.
        index: `KeyIndex` of the records.
    """
    with open_log(path) as (schema, tables):
        for table in as_far_as_whole(path, tables):
            for line in range(len(table)):
                yield step_of(table, line, index, path)


def step_of(table, line, index, path):
    step, records = table["step"][line].as_py(), None
    if "seen" in table.column_names:
        keys = np.frombuffer(table["seen"][line].as_py(), "<i4")
        records = found(keys.reshape(-1, 4).astype("int32"), index, path)
    shots = []
    if "sub_batch_rows" in table.column_names:
        if table["sub_batch_rows"][line].is_valid:
            shots = [shot_of(table, line, step, part) for part in PARTS]
    return Step(step, records, shots)


def shot_of(table, line, step, part):
    def values(name):
        scalar = table[f"{part}_{name}"][line]
        return scalar.values.to_numpy(zero_copy_only=False)

    rows = values("rows")
    pairs = [values(of).reshape(len(rows), len(rows)) for of in MODELS]
    return Shot(step, part, rows, values("scores"), *pairs)


def excess(shot):
    """By how much the learner loses more than the reference on each pair.

    The losses are those of the sigmoid loss: each pair's does not depend on
    the others, so that the sum over a set is the score of the set.
    """
    signs = 2.0 * np.eye(len(shot.rows)) - 1.0
    learner, reference = (
        np.logaddexp(0.0, -signs * of.astype("float64"))
        for of in (shot.learner, shot.reference)
    )
    return (learner - reference).astype("float32")
