"""Which passes the steps of a selecting model are made of."""

import keras

from keras_jest.flops.model_pass import ModelPass
from keras_jest.models.model_inputs import model_inputs


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
    if "learner" in needs:
        role = "learner" if roles.online is None else "online model"
        scorer = roles.scorers["learner"]
        passes.append(scoring("online scoring", scorer, role))
    if "reference" in needs:
        scorer = roles.reference
        passes.append(scoring("reference scoring", scorer, "reference"))
    return passes


def training(term, model, role):
    look = looking(model, role, training=True)
    return ModelPass(term, model, look, True, "trained_rows")


def scoring(term, model, role):
    return ModelPass(term, model, looking(model, role, training=False))


def looking(model, role, training):
    return lambda rows: model(
        model_inputs(model, rows, role), training=training
    )


def super_batches(model, inputs):
    """What counts the rows of whole super-batches.

    Where a schedule does not score all, they are counted by what was kept of
    them, as if all super-batches were of one size.
    """
    policy = model.selection
    if policy is None:
        return {}
    if policy.needs and not model.is_scheduled:
        return {"counted_by": "scored_rows"}
    num_rows = keras.tree.flatten(inputs)[0].shape[0]
    return {"share": num_rows / policy.num_kept(num_rows)}
