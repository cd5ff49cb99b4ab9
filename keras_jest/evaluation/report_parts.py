"""What the sections of a report are made of."""

from typing import NamedTuple

from keras_jest.evaluation import report_figures as figures

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


def seen_parts(steps):
    """What is missing where not all steps tell what was seen."""
    num_told = len(steps) - steps["seen"].null_count
    if not num_told:
        return [part("missing", NO_SEEN)]
    if num_told == len(steps):
        return []
    text = f"Only {num_told:,d} of {len(steps):,d} steps tell which rows were "
    text += "seen and left out: what is said of these is of those steps alone."
    return [part("missing", text)]
