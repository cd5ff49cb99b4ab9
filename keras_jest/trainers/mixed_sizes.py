"""A training pass in which some rows are seen coarsely and some finely."""

import contextlib

import keras
import numpy as np
from keras import ops

from keras_jest.models.encodes_apart import EncodesApart
from keras_jest.models.model_inputs import take_inputs
from keras_jest.trainers.coarse import coarsened
from keras_jest.trainers.device_layout import gather


def interleaved(num_rows, share):
    """Which rows are seen coarsely: spread evenly, as joint selection asks.

    Its early chunks differ from its late ones, so that the first half of a
    sub-batch is another sample than the second.

    Args:
        num_rows: int, rows of the sub-batch.
        share: float in [0, 1), that of the coarse rows.

    Returns:
        Tuple of two int32 arrays, the coarse and the fine rows.
    """
    # One is left to be seen finely: norms have no mean of no rows.
    num_coarse = max(0, min(round(num_rows * share), num_rows - 1))
    passed = np.arange(num_rows + 1) * num_coarse // max(num_rows, 1)
    is_coarse = np.diff(passed) > 0
    rows = np.arange(num_rows, dtype="int32")
    return rows[is_coarse], rows[~is_coarse]


def in_two_sizes(learner, inputs, coarse_size, share):
    """The outputs of a learner that trains on two sizes of pictures.

    Both sizes share all weights. Where the towers of a learner can be called
    apart, its texts pass in one. Moving statistics of batch normalization
    are those of the fine rows, at which the learner is evaluated.

    Args:
        learner: Keras model.
        inputs: those of a sub-batch of `b` rows.
        coarse_size: int, side of the coarse pictures.
        share: float, the share of rows that are seen coarsely.

    Returns:
        What the learner returns for all rows, in their order.
    """
    num_rows = keras.tree.flatten(inputs)[0].shape[0]
    coarse, fine = interleaved(num_rows, share)
    if not len(coarse):
        return learner(inputs, training=True)
    back = np.argsort(np.concatenate([coarse, fine])).astype("int32")

    def in_order(first, second):
        return gather(ops.concatenate([first, second]), back)

    if not isinstance(learner, EncodesApart):
        with statistics_kept(learner):
            first = seen_coarsely(learner, gather(inputs, coarse), coarse_size)
        second = learner(gather(inputs, fine), training=True)
        return keras.tree.map_structure(in_order, first, second)
    images, texts = take_inputs(learner, inputs)
    with statistics_kept(learner):
        small, arguments = coarsened(
            learner, gather(images, coarse), coarse_size
        )
        first = learner.call_images(small, training=True, **arguments)
    second = learner.call_images(gather(images, fine), training=True)
    return learner.join(
        in_order(first, second), learner.call_texts(texts, training=True)
    )


def seen_coarsely(learner, inputs, coarse_size):
    inputs, arguments = coarsened(learner, inputs, coarse_size)
    return learner(inputs, training=True, **arguments)


@contextlib.contextmanager
def statistics_kept(model):
    """Within it the moving statistics of a model change, and change back."""
    statistics = [
        variable
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
        for variable in (layer.moving_mean, layer.moving_variance)
    ]
    # Copies: on torch and TensorFlow a value is the variable itself.
    values = [ops.copy(variable) for variable in statistics]
    yield
    for variable, value in zip(statistics, values, strict=True):
        variable.assign(value)
