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


class Shot(NamedTuple):
    """One part of a snapshot: `m` rows, and pairs of them `(m, m)`."""

    step: int
    part: str
    rows: np.ndarray
    scores: np.ndarray
    learner: np.ndarray
    reference: np.ndarray


class Step(NamedTuple):
    """A step; `records` of its super-batch, or `None`, and its shots.

    A record that is not there any more is -1.
    """

    step: int
    records: np.ndarray | None
    shots: list


def steps_file(log):
    """Where the steps of a log are, or `None` if it has none.

    A kill may leave those of a complete log unfinished, beside older ones.
    """
    path = steps_path(log)
    paths = [of for of in (path, path + UNFINISHED) if os.path.exists(of)]
    of_run = (of for of in paths if is_of_run(of, log))
    return next(of_run, paths[0] if paths else None)


def is_of_run(path, log):
    """Whether a file of steps is of the run that a log is of.

    A run that keeps no steps leaves those of an earlier one where they are.
    The settings of two runs may be the same, but not what they saw and chose.
    """
    try:
        if differing(recorded_settings(path), recorded_settings(log)):
            return False
        step, seen, shown = first_held(path)
        picks = picked(log, step) if step is not None else {}
        was_seen = seen is None or picks.items() <= seen.items()
        return was_seen and picks.keys() >= shown
    except ValueError:
        return False  # Nothing, or nothing of that step, can be read.


def first_held(path):
    """The first step of which a file says what was seen, or shows the picks.

    Returns:
        The step; its keys by row, or `None`; the rows of picks in its
        snapshot, a set. The step is `None` where the file says nothing.
    """
    with open_log(path) as (_, tables):
        for table in tables:
            columns = [
                table[name].to_pylist()
                if name in table.column_names
                else [None] * len(table)
                for name in ("seen", "sub_batch_rows")
            ]
            steps = table["step"].to_pylist()
            for step, seen, shown in zip(steps, *columns, strict=True):
                if seen is not None or shown is not None:
                    return step, keys_by_row(seen), set(shown or ())
    return None, None, set()


def keys_by_row(seen):
    if seen is None:
        return None
    keys = [seen[start : start + 16].hex() for start in range(0, len(seen), 16)]
    return dict(enumerate(keys))


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
                yield step_of(table, line, index)


def step_of(table, line, index):
    step, records = table["step"][line].as_py(), None
    if "seen" in table.column_names and table["seen"][line].is_valid:
        keys = np.frombuffer(table["seen"][line].as_py(), "<i4")
        records = index.find(keys.reshape(-1, 4).astype("int32"))
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
