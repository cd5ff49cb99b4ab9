"""What a log of a run refuses, before there is anything to write."""

import os


def check_selects(model):
    if getattr(model, "selection", None) is None:
        raise ValueError(
            "There is nothing to log: the model selects no rows. "
            f"Received: {model}. Train it with a `selection`."
        )
    if model.steps_per_execution > 1:
        raise ValueError(
            "`SelectionLog` needs steps_per_execution=1, since only the "
            "last step of an execution is seen. Received: "
            f"steps_per_execution={model.steps_per_execution}"
        )
    strategy = getattr(model, "distribute_strategy", None)
    num_replicas = getattr(strategy, "num_replicas_in_sync", 1)
    if num_replicas > 1:
        raise ValueError(
            "`SelectionLog` would miss what all replicas but the first "
            f"pick. Received: {num_replicas} replicas of tf.distribute. "
            "Train in one, or on JAX with `keras.distribution`."
        )


def check_folder(path):
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path) or not os.access(folder, os.W_OK):
        raise ValueError(
            "Expected the path of a file, in a folder that can be written "
            f"to. Received: path={path!r}"
        )


def check_numbers(steps_at_a_time, snapshot_every):
    if steps_at_a_time < 1:
        raise ValueError(
            "Steps are written one at a time or more. "
            f"Received: steps_at_a_time={steps_at_a_time}"
        )
    if snapshot_every is not None and snapshot_every < 1:
        raise ValueError(
            "A snapshot is taken every so many steps, 1 or more, or never "
            f"with None. Received: snapshot_every={snapshot_every}"
        )


def check_has_pairs_to_keep(model):
    """Raise if a model has not the two scorers that a snapshot compares."""
    scorers = getattr(model, "looks", {})
    if not {"learner", "reference"} <= set(scorers):
        raise ValueError(
            "A snapshot compares the learner with the reference, and there "
            f"is no reference. Received: {model}. Leave out `snapshot_every`."
        )
