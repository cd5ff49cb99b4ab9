"""The sections of a report, each with what it needs or what it lacks."""

import numpy as np

from keras_jest.evaluation import report_figures as figures
from keras_jest.evaluation.report_galleries import galleries
from keras_jest.evaluation.report_parts import Section
from keras_jest.evaluation.report_parts import figure_part
from keras_jest.evaluation.report_parts import part
from keras_jest.evaluation.report_parts import seen_parts
from keras_jest.evaluation.report_parts import table_part

SCORES = {
    "learnability": "By how much the learner loses more than the reference on "
    "a row by itself: both curves fall as the learner catches up.",
    "easy_reference": "Minus the reference's loss on a row by itself, which "
    "is what this run chose by: the learner has no part in it.",
    "hard_learner": "The learner's loss on a row by itself, which is what "
    "this run chose by: the reference has no part in it.",
}
OTHER_SCORE = (
    "By how much the learner loses more than the reference on a row by "
    "itself, where a loss that the run's own score does not read counts 0."
)
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


def of_part(snapshots, name):
    return [of for of in snapshots if of["part"] == name]


def learnability_section(tables, score):
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
        "Learnability" if score == "learnability" else "Scores",
        SCORES.get(str(score), OTHER_SCORE)
        + " Selection works where the sub-batch lies above the super-batch.",
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
    parts = [figure_part("The kept share over the steps.", figure)]
    lost = sum(steps["lost"].to_pylist())
    if lost:
        text = "Kept rows of records that are not there any more: "
        text += f"{lost:,d}. They are counted in steps, and shown nowhere."
        parts.append(part("alarm", text))
    return Section(
        "kept",
        "What was kept",
        "Left, how much of the pool was kept so far: a curve that becomes "
        "flat has found what it wants. Right, how much of each sub-batch was "
        "not kept before: the rest is repetition.",
        parts,
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
        "pair of a picture with a caption, by the sigmoid loss, whatever the "
        "loss of the run. Red is still to be learnt, blue "
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
    parts += seen_parts(tables["steps"])
    return Section(
        "pictures",
        "Pictures",
        "What selection likes and what it leaves. Under each, how often it "
        "was kept and how often it was seen and left out, and its mean score "
        "where the log knows it. Pictures are squares, as a model sees them.",
        parts,
    )
