"""Which passes the steps of a selecting model are made of."""

import keras

from keras_jest.flops.model_pass import ModelPass
from keras_jest.models.model_inputs import model_inputs

SCORING = {"learner": "online scoring", "reference": "reference scoring"}


def selecting_passes(model, inputs):
    """What each model does with how many rows of a super-batch.

    Args:
        model: a compiled `SelectingModel`.
        inputs: the inputs of a super-batch, of which shapes are read.

    Returns:
        List of `ModelPass`.
    """
    roles, policy = model.roles, model.selection
    passes = [training("learner training", roles.learner, "learner")]
    if roles.online is not None:
        passes.append(training("online training", roles.online, "online model"))
    if roles.train_reference:
        one = training("reference training", roles.reference, "reference")
        passes.append(one._replace(**super_batches(model, inputs)))
    needs = () if policy is None else policy.needs
    for name, term in SCORING.items():
        if name in needs:
            passes.append(scoring(model, name, term))
    return passes


def training(term, model, role):
    def look(rows):
        return model(model_inputs(model, rows, role), training=True)

    return ModelPass(term, model, look, True, "trained_rows")


def scoring(model, name, term):
    """The bare look of a scorer, in no slices and with its present weights."""
    scorer, look = model.roles.scorers[name], model.looks[name]
    role = model.roles.title_of(scorer)
    return ModelPass(
        term, scorer, lambda rows: look(model_inputs(scorer, rows, role))
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
