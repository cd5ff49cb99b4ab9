"""What a run saw and kept, as a page to look at."""

import importlib.resources
import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

from keras_jest.api_export import keras_jest_export
from keras_jest.data.record_columns import field_names
from keras_jest.data.recording import recorded_settings
from keras_jest.data.require import require
from keras_jest.data.whole_file import whole_file
from keras_jest.evaluation import report_sections as sections
from keras_jest.evaluation.logged_steps import is_of_run
from keras_jest.evaluation.logged_steps import steps_file
from keras_jest.evaluation.report_groups import groups_section
from keras_jest.evaluation.report_parts import part
from keras_jest.evaluation.selection_tables import selection_tables
from keras_jest.evaluation.shown_text import shown_text
from keras_jest.types import Records
from keras_jest.types import StrPath

if TYPE_CHECKING:
    import pyarrow

EXTRA = "keras-jest[report]"
MOST_BYTES = 5_000_000


@keras_jest_export("keras_jest.evaluation.selection_report")
def selection_report(
    log: StrPath,
    records: Records,
    path: StrPath,
    columns: Sequence[str] | dict[str, Any] = (),
    num_shown: int = 24,
) -> "dict[str, pyarrow.Table]":
    """Write a page that shows what a run saw, kept and left.

    One HTML file with all that it needs in it, under 5 MB (else a warning
    says what takes the place): no server, no
    network, no script. It shows the learnability of super-batches and
    sub-batches over time; how much of the pool was kept; by how much the
    learner loses more than the reference on all pairs of a super-batch, before
    and after selection, as in the figures of the paper; pictures with their
    captions of what was kept most, dropped most and never seen; and, by
    columns of the records, what was kept, and what starves. A section that
    the log cannot fill says which argument of
    `keras_jest.callbacks.SelectionLog` would.

    Args:
        log: str or path of what `SelectionLog` wrote, in a run whose batches
            had `"key"`; one that has not ended by the name of its own file,
            `"picks.parquet.unfinished"`.
        records: what `keras_jest.data.super_batches` was given, such as
            `TarShards`, `CaptionTable` or a sequence of dicts with
            `"image"`, `"text"` and `"key"`.
        path: str or path of the page. An older one is replaced when the new
            one is whole.
        columns: as for `keras_jest.evaluation.selection_tables`.
        num_shown: int. Pictures in each gallery, fewer where the page would
            be too large.

    Returns:
        The tables that the page was made of, those of `selection_tables`.

    Raises:
        FileNotFoundError: there is no such log.
        ValueError: before anything is written, if the log is none, has no
            keys or no steps, or is of another pool, if no record has a
            column, or if there is no folder for the page. A picture that
            cannot be read any more is none: its place says so.
        ImportError: jinja2, matplotlib or pyarrow are not installed.

    Example:

    ```python
    from keras_jest.evaluation import selection_report

    # log = SelectionLog("picks.parquet", keep_seen=True, snapshot_every=500)
    # model.fit(super_batches(shards, ...), callbacks=[log])
    # selection_report("picks.parquet", shards, "picks.html", ["shard"])
    ```

    Reference:
        - [Evans et al., 2024](https://arxiv.org/abs/2406.17711)
    """
    template = page_template()
    check_arguments(path, num_shown)
    tables = selection_tables(log, records, columns)
    page = {
        "title": "What was selected",
        "subtitle": subtitle(log),
        "facts": facts(tables),
        "footer": "Made by keras_jest.evaluation.selection_report.",
    }
    before, after = other_sections(log, tables, records, columns)
    while True:
        pictures = sections.galleries_section(tables, records, num_shown)
        text = template.render(**page, sections=[*before, pictures, *after])
        data = text.encode("utf-8", "replace")
        if len(data) < MOST_BYTES or num_shown == 1:
            break
        num_shown = max(num_shown // 2, 1)
    if len(data) >= MOST_BYTES:
        warnings.warn(
            f"The page has {len(data):,d} bytes, with one picture in each "
            "gallery. Name fewer columns to make it smaller.",
            stacklevel=2,
        )
    with whole_file(path) as file:
        file.write(data)
    return tables


def page_template():
    jinja2 = require("jinja2", EXTRA)
    require("matplotlib.figure", EXTRA)
    file = importlib.resources.files("keras_jest.evaluation") / "templates"
    text = (file / "selection_report.html").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(text)


def check_arguments(path, num_shown):
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path) or not os.path.isdir(folder):
        raise ValueError(
            "Expected the path of a page, in a folder that is there. "
            f"Received: path={os.fspath(path)!r}"
        )
    if num_shown < 1:
        raise ValueError(
            "A gallery shows one picture or more. "
            f"Received: num_shown={num_shown}"
        )


def other_sections(log, tables, records, columns):
    """The sections before the pictures and those after them."""
    snapshots = tables["snapshots"].to_pylist()
    before = [
        sections.learnability_section(tables, policy_config(log).get("score")),
        sections.kept_section(tables),
        sections.matrix_section(snapshots),
    ]
    offered = [shown_text(of, 40) for of in field_names(records)]
    after = [groups_section(tables, list(columns), offered)]
    path = steps_file(log)
    if path is not None and not is_of_run(path, log):
        text = f"{os.path.basename(path)} is of another run, or damaged."
        before[0].parts.append(part("alarm", shown_text(text)))
    return before, after


def subtitle(log):
    """Which run it was."""
    settings = recorded_settings(log)
    policy = settings.get("selection") or {}
    config = [
        f"{name} {value}"
        for name, value in policy_config(log).items()
        if isinstance(value, (int, float, str)) and not isinstance(value, bool)
    ]
    parts = [settings.get("model", ""), policy.get("class_name", "")]
    parts += [", ".join(config), settings.get("backend", "")]
    return " · ".join(shown_text(of) for of in parts if of)


def policy_config(log):
    """What the policy of a run was made of, by the names of arguments."""
    policy = recorded_settings(log).get("selection") or {}
    return policy.get("config") or {}


def facts(tables):
    steps, records = tables["steps"], tables["records"]
    num_records, kept = len(records), records["kept"].to_numpy()
    numbers = [
        ("steps", f"{len(steps):,d}"),
        ("records", f"{num_records:,d}"),
        ("rows kept", f"{kept.sum():,d}"),
        ("records kept", f"{(kept > 0).mean():.1%}"),
    ]
    if not records["seen"].null_count:
        seen = records["seen"].to_numpy()
        numbers.append(("rows seen", f"{seen.sum():,d}"))
        numbers.append(("records seen", f"{(seen > 0).mean():.1%}"))
    return numbers
