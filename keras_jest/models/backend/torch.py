"""Lists of one batch, on torch."""


def first_batch(model, arguments):
    del model
    (batches,) = arguments
    return batches[0], arguments


def hand_back(model, arguments):
    """Do nothing: Keras takes nothing from a model on torch."""
