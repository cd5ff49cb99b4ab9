"""The sections of a report, each with what it needs or what it lacks."""

from typing import NamedTuple

import numpy as np

from keras_jest.evaluation import report_figures as figures
from keras_jest.evaluation.report_galleries import galleries
from keras_jest.evaluation.shown_text import shown_text

MOST_LINES = 25
MOST_CURVES = len(figures.GROUPS)
NO_SNAPSHOTS = (
    "This log has no snapshots: SelectionLog(path, snapshot_every=500) takes "
    "one every 500 steps."
)
NO_SEEN_SCORE = (
    "This log does not tell the scores of whole super-batches: it was "
    "written by an earlier version."
)
NO_SCORES = (
    "This run scored nothing: its policy reads no losses, or its schedule "
    "drew all steps uniformly."
)
NO_SEEN = (
    "This log does not tell which rows were seen and left out, only which "
    "were kept: SelectionLog(path, keep_seen=True) keeps the keys of all."
)


class Section(NamedTuple):
    id: str
    title: str
    sentence: str
    parts: list


def part(kind, text="", **others):
    return {"kind": kind, "text": text, **others}


def figure_part(text, figure):
    return part("figure", text, source=figures.as_uri(figure))


def table_part(names, lines):
    """A table of lines of cells, of which some `starves` and have a `bar`."""
    defaults = {"starves": False, "bar": None}
    return part(
        "table", names=names, lines=[{**defaults, **of} for of in lines]
    )


def of_part(snapshots, name):
    return [of for of in snapshots if of["part"] == name]


def learnability_section(tables):
    steps = tables["steps"]
    curves = [
        steps[name].to_numpy().astype("float64")
        for name in ("score", "seen_score")
    ]
    figure = figures.learnability_figure(steps["step"].to_numpy(), *curves)
    parts = [figure_part("Mean scores over the steps.", figure)]
    if steps["seen_score"].null_count == len(steps):
        is_scored = steps["score"].null_count < len(steps)
        parts.append(part("missing", NO_SEEN_SCORE if is_scored else NO_SCORES))
    return Section(
        "learnability",
        "Learnability",
        "By how much the learner loses more than the reference on a row by "
        "itself. Selection works where the sub-batch lies above the "
        "super-batch; both fall as the learner catches up.",
        parts,
    )


def kept_section(tables):
    steps = tables["steps"]
    figure = figures.kept_figure(
        steps["step"].to_numpy(),
        steps["kept_share"].to_numpy(),
        steps["first_time"].to_numpy() / steps["kept"].to_numpy(),
        len(tables["records"]),
    )
    return Section(
        "kept",
        "What was kept",
        "Left, how much of the pool was kept so far: a curve that becomes "
        "flat has found what it wants. Right, how much of each sub-batch was "
        "not kept before: the rest is repetition.",
        [figure_part("The kept share over the steps.", figure)],
    )


def matrix_section(snapshots):
    title, parts = "Before and after", []
    if snapshots:
        parts = matrix_parts(snapshots)
    else:
        parts = [part("missing", NO_SNAPSHOTS)]
    return Section(
        "matrix",
        title,
        "By how much the learner loses more than the reference, on each "
        "pair of a picture with a caption. Red is still to be learnt, blue "
        "has been. Single scores see the diagonal alone; what lies off it is "
        "what joint selection adds up, row by row and column by column.",
        parts,
    )


def matrix_parts(snapshots):
    last = [np.array(of["matrix"]) for of in snapshots[-2:]]
    squares = [of.reshape(len_of(of), len_of(of)) for of in last]
    step = snapshots[-1]["step"]
    lines = []
    shown = chosen_steps([of["step"] for of in of_part(snapshots, "sub_batch")])
    for of in snapshots:
        if of["step"] in shown:
            name = of["part"].replace("_", "-")
            numbers = [f"{of[key]:+.3f}" for key in ("own", "others")]
            numbers.append(f"{of['off_diagonal']:.0%}")
            cells = [f"{of['step']}, {name}", of["rows"], *numbers]
            lines.append({"cells": cells})
    names = ["step", "rows", "own pair", "other pairs, summed"]
    names.append("of all differences, off the diagonal")
    return [
        part("heading", f"Step {step}"),
        figure_part(
            "The matrix before and after selection.",
            figures.matrix_figure(*squares),
        ),
        part("text", "The means of a row, in this and in other steps:"),
        table_part(names, lines),
    ]


def len_of(matrix):
    return round(len(matrix) ** 0.5)


def chosen_steps(steps, most=6):
    """The first, the last and some between."""
    places = np.linspace(0, len(steps) - 1, min(most, len(steps)))
    return {steps[round(of)] for of in places}


def galleries_section(tables, records, num_shown):
    shown = galleries(tables["records"], records, num_shown)
    parts = [part("gallery", gallery=of) for of in shown]
    if tables["records"]["seen"].null_count:
        parts.append(part("missing", NO_SEEN))
    return Section(
        "pictures",
        "Pictures",
        "What selection likes and what it leaves. Under each, how often it "
        "was kept of how often it was seen, and its mean score where the log "
        "knows it. Pictures are squares, as a model sees them.",
        parts,
    )


def groups_section(tables, columns, offered):
    parts = []
    for column in columns:
        parts += group_parts(tables, column)
    if not columns:
        text = "No column of the records was named. columns= takes fields of "
        text += "the records or of their JSON"
        text += f"; the first has: {', '.join(offered)}." if offered else "."
        parts = [part("missing", text)]
    elif tables["records"]["seen"].null_count:
        parts.append(part("missing", NO_SEEN))
    return Section(
        "groups",
        "Sources and classes",
        "What a uniform draw would have kept, and what was kept instead. A "
        "lift above 1 is preferred; what has less than half of what was to be "
        "expected, beyond chance, starves.",
        parts,
    )


def group_parts(tables, column):
    lines = [
        of for of in tables["groups"].to_pylist() if of["column"] == column
    ]
    lines.sort(key=lambda of: -of["records"])
    starving = [of for of in lines if of["starves"]]
    largest = lines[:MOST_LINES]
    extra = [of for of in starving if of not in largest]
    extra.sort(key=lambda of: of["kept"] - of["expected"])
    shown = [*largest, *extra[:MOST_LINES]]
    parts = [part("heading", f"By {shown_text(column, 60)}")]
    if starving:
        names = ", ".join(named(of["value"]) for of in starving[:MOST_LINES])
        parts.append(
            part(
                "alarm",
                f"{len(starving):,d} of {len(lines):,d} starve: {names}"
                + (", ..." if len(starving) > MOST_LINES else "."),
            )
        )
    parts.append(groups_part(shown))
    if len(shown) < len(lines):
        text = f"{len(shown)} of {len(lines):,d} values are shown; all are in "
        text += "the table 'groups' of selection_tables."
        parts.append(part("text", text))
    return [*parts, *shares_parts(tables, column, largest)]


def named(value):
    return shown_text(value, 40) or "(none)"


def groups_part(lines):
    total = sum(of["kept"] for of in lines) or 1
    highest = max((of["lift"] or 0.0 for of in lines), default=0.0) or 1.0
    names = ["value", "records", "seen", "expected", "kept", "of the picks"]
    names += ["lift", ""]
    shown = []
    for of in lines:
        lift = of["lift"]
        cells = [named(of["value"]), f"{of['records']:,d}"]
        cells += ["-" if of["seen"] is None else f"{of['seen']:,d}"]
        cells += [f"{of['expected']:,.0f}", f"{of['kept']:,d}"]
        cells += [f"{of['kept'] / total:.1%}"]
        cells += ["-" if lift is None else f"{lift:.2f}"]
        bar = round(100 * (lift or 0.0) / highest, 1)
        shown.append({"cells": cells, "starves": of["starves"], "bar": bar})
    return table_part(names, shown)


def shares_parts(tables, column, largest):
    """The curves of the largest groups, and which is whose."""
    shares = tables["shares"]
    own = shares.filter(np.equal(np.array(shares["column"]), column))
    steps = np.unique(own["step"].to_numpy())
    values, kept = np.array(own["value"], object), own["kept"].to_numpy()
    totals = np.maximum(kept.reshape(len(steps), -1).sum(axis=1), 1)
    names = [of["value"] for of in largest[:MOST_CURVES]]
    curves = [kept[values == of] / totals for of in names]
    key = zip(figures.GROUPS, map(named, names), strict=False)
    return [
        figure_part(
            "Parts of the picks over the steps.",
            figures.shares_figure(steps, curves),
        ),
        part("key", entries=list(key)),
    ]
