"""What learner and reference say of some pairs of rows, at one step."""

import keras
import numpy as np
from keras import ops

from keras_jest.losses.loss_given_set import given
from keras_jest.losses.pairs import check_pairs
from keras_jest.losses.pairs import scaled_images
from keras_jest.models.model_inputs import model_inputs

MOST_ROWS = 256
SCORERS = ("learner", "reference")


def take_snapshot(model, values, inputs, rows):
    """Look at rows of a super-batch, as the step that scores them does.

    Args:
        model: a `SelectingModel` with a learner and a reference.
        values: pairs of a variable and its value: those of the step.
        inputs: the inputs of the super-batch.
        rows: int array. Of more than 256 every so many are taken.

    Returns:
        Dict of arrays: `rows`, which `m` rows they are; `scores` `(m,)`, by
        how much the learner's loss exceeds the reference's, or, of a policy
        that reads one of them alone, what the log says, too; and `learner`
        and `reference`, the logits of all pairs of them, `(m, m)`, pictures
        down and captions across.

    Raises:
        ValueError: if one of the two does not return pairs.
    """
    rows = np.asarray(rows, "int32")
    if len(rows) > MOST_ROWS:
        places = np.linspace(0, len(rows) - 1, MOST_ROWS)
        rows = rows[places.astype("int64")]
    inputs = keras.tree.map_structure(lambda of: taken(of, rows), inputs)
    needs = model.selection.needs or SCORERS
    with keras.StatelessScope(values):
        pairs = {name: pairs_of(model, name, inputs) for name in SCORERS}
        logits = {name: logits_of(of) for name, of in pairs.items()}
        learner, reference = (
            losses_of(model, pairs[of]) if of in needs else 0.0
            for of in SCORERS
        )
    return {"rows": rows, "scores": learner - reference, **logits}


def pairs_of(model, name, inputs):
    """The pairs of one scorer, with the weights that it scores with."""
    scorer, look = model.roles.scorers[name], model.looks[name]
    look = model.previous_weights.looking(
        look, scorer, model.roles.trained_scorers
    )
    outputs = look(model_inputs(scorer, inputs, name))
    try:
        return check_pairs(outputs)
    except ValueError as error:
        raise ValueError(
            f"A snapshot needs the pairs of the {name}, and it returns none. "
            "Leave out `snapshot_every` for classifiers, and where only "
            f"losses of the reference are stored. ({error})"
        ) from error


def logits_of(pairs):
    products = ops.matmul(
        scaled_images(pairs), ops.transpose(pairs["text_embedding"])
    )
    return ops.convert_to_numpy(products + pairs["logit_bias"])


def losses_of(model, pairs):
    loss = model.settings.score_loss or model.loss
    return ops.convert_to_numpy(given(loss, pairs).values)


def taken(array, rows):
    """Some rows; of a large array on the host no more goes to the device."""
    if isinstance(array, np.ndarray):
        return ops.convert_to_tensor(array[rows])
    return ops.take(array, ops.convert_to_tensor(rows), axis=0)
