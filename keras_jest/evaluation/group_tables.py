"""What was seen and kept of each value of a column of the records."""

import numpy as np

from keras_jest.data.require import require


def groups_table(tally, values):
    """A line per value of each column, over the whole run."""
    pyarrow = require("pyarrow", "keras-jest[report]")
    parts = [group_columns(tally, name, *of) for name, of in values.items()]
    return pyarrow.concat_tables(
        [pyarrow.table(of) for of in [group_columns(tally), *parts]]
    )


def group_columns(tally, name="", names=(), codes=()):
    """The columns of the groups of one column of the records."""
    pyarrow = require("pyarrow", "keras-jest[report]")
    size = len(names)
    records, kept, records_kept, seen = (
        sums(codes, size, of)
        for of in (None, tally.kept, tally.kept > 0, tally.seen)
    )
    offered = records if tally.seen is None else seen
    expected = offered * (kept.sum() / max(offered.sum(), 1))
    short = expected - kept
    starves = (kept < expected / 2) & (short > 2 * np.sqrt(expected))
    lift = kept / np.where(expected > 0, expected, 1.0)
    is_unknown = np.full(size, tally.seen is None)
    return {
        "column": pyarrow.array([name] * size, pyarrow.string()),
        "value": pyarrow.array(list(names), pyarrow.string()),
        "records": records,
        "kept": kept,
        "seen": pyarrow.array(seen, mask=is_unknown),
        "records_kept": records_kept,
        "expected": expected,
        "lift": pyarrow.array(lift, mask=expected == 0),
        "starves": starves,
    }


def sums(codes, size, weights):
    """How many records each group has, each so often: int64."""
    if weights is not None and size:
        weights = np.asarray(weights, "float64")
    elif not size:
        return np.zeros(0, "int64")
    return np.bincount(codes, weights, size).astype("int64")


def shares_table(tally, values):
    """A line per value of each column and span of steps."""
    pyarrow = require("pyarrow", "keras-jest[report]")
    parts = [share_columns(tally, name, of) for name, (of, _) in values.items()]
    return pyarrow.concat_tables(
        [pyarrow.table(of) for of in [share_columns(tally), *parts]]
    )


def share_columns(tally, name="", names=()):
    pyarrow = require("pyarrow", "keras-jest[report]")
    spans, size = tally.steps[tally.bin_starts], len(names)
    num_lines = size * len(spans)
    nothing = np.zeros((len(spans), 0), "int64")
    kept = tally.groups["kept"].get(name, nothing)
    seen = tally.groups["seen"].get(name, nothing)
    is_unknown = np.full(num_lines, tally.seen is None)
    return {
        "column": pyarrow.array([name] * num_lines, pyarrow.string()),
        "value": pyarrow.array(list(names) * len(spans), pyarrow.string()),
        "step": np.repeat(spans, size),
        "kept": kept.ravel(),
        "seen": pyarrow.array(seen.ravel(), mask=is_unknown),
    }
