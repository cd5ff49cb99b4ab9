"""The section of a report on sources, classes and other groups."""

import numpy as np

from keras_jest.evaluation import report_figures as figures
from keras_jest.evaluation.report_parts import Section
from keras_jest.evaluation.report_parts import figure_part
from keras_jest.evaluation.report_parts import part
from keras_jest.evaluation.report_parts import seen_parts
from keras_jest.evaluation.report_parts import table_part
from keras_jest.evaluation.shown_text import shown_text

MOST_LINES = 25
MOST_CURVES = len(figures.GROUPS)


def groups_section(tables, columns, offered):
    parts = []
    for column in columns:
        parts += group_parts(tables, column)
    if not columns:
        text = "No column of the records was named. columns= takes fields of "
        text += "the records or of their JSON"
        text += f"; the first has: {', '.join(offered)}." if offered else "."
        parts = [part("missing", text)]
    else:
        parts += seen_parts(tables["steps"])
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
