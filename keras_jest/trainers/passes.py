"""What a step of a selecting model is made of, for a ledger to count."""

import keras

from keras_jest.flops.model_pass import ModelPass
from keras_jest.models.model_inputs import model_inputs

SCORING = {"learner": "online scoring", "reference": "reference scoring"}
TRAINING = {
    "learner": "learner training",
    "online model": "online training",
    "reference": "reference training",
}


def passes_of(model, inputs):
    """What each model does with how many rows of a super-batch.

    Args:
        model: a compiled `SelectingModel`.
        inputs: the inputs of a super-batch, of which shapes are read.

    Returns:
        List of `keras_jest.flops.model_pass.ModelPass`.
    """
    passes = [training(model.learner, "learner")]
    for title, beside in model.roles.trained_beside.items():
        one = training(beside, title)
        if title == "reference":
            one = one._replace(**super_batches(model, inputs))
        passes.append(one)
    needs = () if model.selection is None else model.selection.needs
    return passes + [scoring(model, name) for name in SCORING if name in needs]


def training(model, title):
    def look(rows):
        return model(model_inputs(model, rows, title), training=True)

    return ModelPass(TRAINING[title], model, look, True, "trained_rows")


def scoring(model, name):
    scorer, look = model.roles.scorers[name], model.looks[name]
    title = model.roles.title_of(scorer)
    return ModelPass(
        SCORING[name],
        scorer,
        lambda rows: look(model_inputs(scorer, rows, title)),
    )


def super_batches(model, inputs):
    """What counts the rows of whole super-batches.

    Where a schedule does not score all, they are counted by what was kept of
    them, as if all super-batches were of one size.
    """
    policy = model.selection
    if policy is None:
        return {}
    if policy.needs and not model.settings.is_scheduled:
        return {"counted_by": "scored_rows"}
    num_rows = keras.tree.flatten(inputs)[0].shape[0]
    return {"share": num_rows / policy.num_kept(num_rows)}
