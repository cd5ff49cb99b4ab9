"""What a run computes for each row, and what its task is."""

import math
import re

import keras

from keras_jest.callbacks.ledger_account import count_passes
from keras_jest.evaluation.computation import TRAINING
from keras_jest.flops.model_pass import UNIFORM
from keras_jest.flops.model_pass import ModelPass

TRAINS = "learner training"


def num_kept(model, num_rows):
    """How many rows of a super-batch a model trains on."""
    selection = getattr(model, "selection", None)
    return num_rows if selection is None else selection.num_kept(num_rows)


def counted_passes(model, inputs, kept, num_rows):
    """The passes of a model's steps, and what each costs for a row.

    Args:
        model: a `SelectingModel` or another Keras model.
        inputs: the inputs of the first batch.
        kept: int, how many of its rows are trained on.
        num_rows: int, how many it has.

    Returns:
        List of `CountedPass`.
    """
    tells = hasattr(model, "passes")
    passes = model.passes(inputs) if tells else plain_passes(model)
    sizes = {"trained_rows": kept, "scored_rows": num_rows}
    return count_passes(passes, inputs, sizes)


def plain_passes(model):
    def look(rows):
        return model(rows, training=True)

    return [ModelPass(TRAINS, model, look, True, "trained_rows")]


def task_of(model, passes, monitor, mode):
    """What two runs must share for their curves to be compared."""
    learner = getattr(model, "learner", model)
    flops = {name: flops_of(passes, name) for name in (UNIFORM, TRAINS)}
    return {
        "monitor": monitor,
        "mode": mode,
        "loss": loss_name(keras.losses.get(model.loss)),
        "parameters": sum(
            math.prod(of.shape) for of in learner.trainable_variables
        ),
        "training_flops": float(flops[UNIFORM] or flops[TRAINS]),
    }


def loss_name(loss):
    """The name, without the number that Keras gives the second of a name."""
    name = getattr(loss, "name", getattr(loss, "__name__", str(loss)))
    return re.sub(r"_\d+$", "", name)


def flops_of(passes, term):
    return sum(of.flops for of in passes if of.term == term)


def once_costs(passes, reference_flops, num_reference, num_stored):
    """What was spent on the reference before the run, by its terms."""
    live = flops_of(passes, "reference scoring")
    if num_stored and live:
        raise ValueError(
            "The reference scores in every step, so nothing is stored of it. "
            f"Received: num_stored={num_stored}. Leave it out, or train with "
            "what is stored."
        )
    cost = live if reference_flops is None else reference_flops
    if not cost and (num_stored or num_reference):
        raise ValueError(
            "What the reference has cost is not known, since it does not score "
            "in this run. Pass `reference_flops=count_flops(reference, x)`, "
            "of `keras_jest.evaluation`. Received: reference_flops=None, "
            f"num_stored={num_stored}, num_reference={num_reference}"
        )
    return {
        "reference scoring": cost * num_stored,
        "reference training": TRAINING * cost * num_reference,
    }
