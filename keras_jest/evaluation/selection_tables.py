"""What a run saw and kept, as tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.open_log import as_far_as_whole
from keras_jest.data.open_log import open_log
from keras_jest.data.record_columns import record_keys
from keras_jest.data.record_key import keys_to_hex
from keras_jest.data.require import require
from keras_jest.evaluation.column_values import column_values
from keras_jest.evaluation.group_tables import groups_table
from keras_jest.evaluation.group_tables import shares_table
from keras_jest.evaluation.logged_picks import logged_picks
from keras_jest.evaluation.logged_steps import excess
from keras_jest.evaluation.logged_steps import is_of_run
from keras_jest.evaluation.logged_steps import logged_steps
from keras_jest.evaluation.logged_steps import steps_file
from keras_jest.evaluation.tally import Tally
from keras_jest.types import Records
from keras_jest.types import StrPath

if TYPE_CHECKING:
    import pyarrow


@keras_jest_export("keras_jest.evaluation.selection_tables")
def selection_tables(
    log: StrPath, records: Records, columns: Sequence[str] | dict[str, Any] = ()
) -> "dict[str, pyarrow.Table]":
    """Tell what a run saw and kept of its records, as tables.

    `keras_jest.evaluation.selection_report` shows them as a page.

    Args:
        log: str or path of what `keras_jest.callbacks.SelectionLog` wrote, in
            a run whose batches had `"key"`; one that has not ended by the
            name of its own file, `"picks.parquet.unfinished"`.
        records: what `keras_jest.data.super_batches` was given, such as
            `TarShards`, `CaptionTable` or a sequence of dicts. Only keys and
            `columns` are read here.
        columns: sequence of str, by which to count: fields of the records,
            or of their JSON, or `"shard"`. Or a dict, by names, of sequences
            with a value for each record. At most 10,000 values each.

    Returns:
        Dict of `pyarrow.Table`s (`tables["groups"].to_pandas()`). What the
        log does not tell is null, or a table without lines.

        - `steps`, a line per step: `step`, rows `kept` and `seen`, mean
          `score` of what was kept, `seen_score`, the mean of the whole
          super-batch, `first_time`, how many of it were kept for the first
          time, `lost`, how many of it are of records that are not there any
          more, and `kept_share` of the records that were kept so far.
        - `records`, a line per record: `record`, `key`, `kept`, and, in the
          steps that tell it, `seen` and `dropped`, how often; `score`, the
          mean of the scores that the log knows of it, of its picks and of
          snapshots; and `columns`.
        - `groups`, a line per value of each column: `column`, `value`,
          `records`, `kept`, `seen`, `records_kept` once or more, `expected`,
          what a uniform draw would have kept of what was seen (or, if that is
          unknown, of the pool), `lift`, which is kept over expected, and
          `starves`: less than half was kept of what was expected, and less by
          more than two standard deviations of a count.
        - `shares`, a line per value and span of steps: `column`, `value`,
          `step`, the first of the span, `kept` and `seen`.
        - `snapshots`, a line per step and part, `"super_batch"` or
          `"sub_batch"`: `step`, `part`, `rows`, mean `score`, and, of the
          learner's loss minus the reference's on each pair of them, `own`,
          the mean of a row's own pair, `others`, that of the sum of its
          other pairs, and `off_diagonal`, which part of all differences, up
          or down, lies in these; and, of the last snapshot, `matrix`, all
          pairs.

    Raises:
        FileNotFoundError: there is no such log.
        ValueError: it is no log, has no keys or no steps, is of another pool
            (more than a tenth of what it kept is not there any more), records
            share a key, no record has a column, or it has too many values.
        ImportError: pyarrow is not installed.

    Example:

    ```python
    from keras_jest.evaluation import selection_tables

    # log = SelectionLog("picks.parquet", keep_seen=True, snapshot_every=500)
    # model.fit(super_batches(shards, ...), callbacks=[log])
    # tables = selection_tables("picks.parquet", shards, columns=["shard"])
    # print(tables["groups"].to_pandas())
    ```
    """
    keys, index = record_keys(records)
    values = column_values(records, columns)
    tally, shots = counted(log, index, values)
    return {
        "steps": steps_table(tally),
        "records": records_table(tally, keys, values),
        "groups": groups_table(tally, values),
        "shares": shares_table(tally, values),
        "snapshots": snapshots_table(shots),
    }


def counted(log, index, values):
    """A `Tally` of a log, and what is told of its snapshots."""
    codes = {name: of for name, (_, of) in values.items()}
    tally = Tally(len(index), steps_of(log), codes)
    shots = add_steps(tally, log, index)
    for picks in logged_picks(log, index):
        tally.add_picks(picks)
    return tally, shots


def add_steps(tally, log, index):
    """Add what was seen to a tally. Returns what is told of snapshots."""
    path, shots = steps_file(log), []
    if path is None or not is_of_run(path, log):
        return shots
    for step in logged_steps(path, index):
        if step.records is not None:
            tally.add_seen(step.step, step.records)
        if step.shots:
            shots = [{**of, "matrix": None} for of in shots]
            shots += [told(of) for of in step.shots]
        if step.shots and step.records is not None:
            whole = step.shots[0]
            tally.add_scores(step.records[whole.rows], whole.scores)
    return shots


def steps_of(log):
    """The steps of a log: int array, ascending."""
    with open_log(log, ["step"]) as (_, tables):
        steps = [np.unique(of["step"]) for of in as_far_as_whole(log, tables)]
    return np.unique(np.concatenate([np.zeros(0, "int32"), *steps]))


def told(shot):
    """A line of the table of snapshots."""
    matrix = excess(shot)
    own, total = np.diagonal(matrix), np.abs(matrix).sum()
    return {
        "step": shot.step,
        "part": shot.part,
        "rows": len(shot.rows),
        "score": float(np.mean(shot.scores)),
        "own": float(np.mean(own)),
        "others": float(np.mean(matrix.sum(axis=1) - own)),
        "off_diagonal": float((total - np.abs(own).sum()) / (total or 1.0)),
        "matrix": matrix.ravel(),
    }


def snapshots_table(shots):
    pyarrow = require("pyarrow", "keras-jest[report]")
    floats = ("score", "own", "others", "off_diagonal")
    schema = pyarrow.schema(
        [
            ("step", pyarrow.int64()),
            ("part", pyarrow.string()),
            ("rows", pyarrow.int64()),
            *((name, pyarrow.float64()) for name in floats),
            ("matrix", pyarrow.list_(pyarrow.float32())),
        ]
    )
    return pyarrow.Table.from_pylist(shots, schema)


def steps_table(tally):
    pyarrow = require("pyarrow", "keras-jest[report]")
    of, seen = tally.by_step, tally.by_step["seen"]
    num_scores = of["num_scores"]
    means = of["score"] / np.maximum(num_scores, 1)
    columns = {
        "step": tally.steps,
        "kept": of["kept"],
        "seen": pyarrow.array(seen, mask=seen < 0),
        "score": pyarrow.array(means, mask=num_scores == 0),
        "seen_score": pyarrow.array(of["seen_score"], from_pandas=True),
        "first_time": of["first_time"],
        "lost": of["lost"],
        "kept_share": np.cumsum(of["first_time"]) / len(tally.kept),
    }
    return pyarrow.table(columns)


def records_table(tally, keys, values):
    pyarrow = require("pyarrow", "keras-jest[report]")
    num_records, num_scores = len(tally.kept), tally.num_scores
    means = tally.score_sums / np.maximum(num_scores, 1)
    nothing = pyarrow.nulls(num_records, pyarrow.int64())
    columns = {
        "record": np.arange(num_records),
        "key": keys_to_hex(keys),
        "kept": tally.kept,
        "seen": nothing if tally.seen is None else tally.seen,
        "dropped": nothing if tally.dropped is None else tally.dropped,
        "score": pyarrow.array(means, mask=num_scores == 0),
    }
    columns |= {
        name: pyarrow.array(names[codes], pyarrow.string())
        for name, (names, codes) in values.items()
    }
    return pyarrow.table(columns)
