"""Which parts of a model see the batches that it is given."""


def models_that_look(model, task):
    """The models that a batch must fit, by what they are called in errors.

    Args:
        model: a `SelectingModel`.
        task: `"train"`, `"test"` or `"predict"`. The learner alone is tested
            and predicts.

    Returns:
        Dict of Keras models: the learner, what is trained beside it, and
        what a policy asks for losses.
    """
    models = {"learner": model.roles.learner}
    if task != "train":
        return models
    models |= model.roles.trained_beside
    if model.selection is not None and "reference" in model.selection.needs:
        models["reference"] = model.roles.reference
    return models
