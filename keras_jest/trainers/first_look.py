"""What must fit the first batch of a run: models, and a policy."""

from keras_jest.models.expected_units import check_units
from keras_jest.trainers.columns import check_first_columns


def first_look(model, x, y, task):
    """Raise if a batch is not what a model, or its policy, can work with.

    Args:
        model: a `SelectingModel`.
        x: the inputs of the batch.
        y: its targets.
        task: `"train"`, `"test"` or `"predict"`.
    """
    del y  # A `LabelCheck` looks at those of all batches.
    for role, of in models_that_look(model, task).items():
        check_units(of, x, role)
    if task == "train":
        check_first_columns(model.selection, x)


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
