"""How many rows an epoch has trained on and scored, as the model counts."""

import keras


def rows_of_epoch(model):
    """Read what was counted on the device since the epoch began.

    Args:
        model: a `SelectingModel`, which counts, or another compiled Keras
            model: its mean of the loss weighs each batch by its rows.

    Returns:
        Dict of ints, `trained_rows` and `scored_rows`.
    """
    ours = getattr(model, "selection_metrics", None)
    if ours is not None:
        trained = ours.trained_rows.result()
        scored = ours.scored_rows.result()
    else:
        trained, scored = loss_of(model).count, 0
    return {"trained_rows": as_int(trained), "scored_rows": as_int(scored)}


def loss_of(model):
    """The mean of the loss of a plain Keras model, which counts rows."""
    means = [
        of
        for of in model.metrics
        if of.name == "loss" and isinstance(of, keras.metrics.Mean)
    ]
    if not means:
        raise ValueError(
            "The rows that a plain Keras model trains on are read from its "
            "mean of the loss, and this one keeps none. Wrap it, "
            "`keras_jest.JESTModel(model)`, and compile it with "
            f"`selection=None` to train as before. Received: {model}"
        )
    return means[0]


def as_int(tensor):
    return round(float(keras.ops.convert_to_numpy(tensor)))
