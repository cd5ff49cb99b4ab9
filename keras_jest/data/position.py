"""Batches that say where in their data they stand."""

import sys

import keras
import numpy as np

INPUTS = "keras_jest_inputs"
POSITION = "keras_jest_position"
GRAIN_DATASETS = ("MapDataset", "IterDataset", "DataLoader")
GRAIN_ITERATORS = ("DatasetIterator", "DataLoaderIterator")


def positioned(
    x=None, epochs=1, initial_epoch=0, steps_per_epoch=None, **arguments
):
    """Let data tell how far a run has come in them.

    Args:
        x: dataset or iterator of grain.
        epochs: as in `keras.Model.fit`.
        initial_epoch: as in `keras.Model.fit`.
        steps_per_epoch: as in `keras.Model.fit`.
        **arguments: other arguments of `fit`, which do not matter.

    Returns:
        A `PositionedDataset`.

    Raises:
        ValueError: The data are others, or an iterator would have to begin
            again with an epoch.
    """
    if not is_grain(x):
        raise ValueError(
            "To go on at a place in the data, `fit` needs a dataset that can "
            "begin there: that of `keras_jest.data.super_batches`, or another "
            "of grain, such as `grain.MapDataset.source(...).batch(n)`. "
            f"Received: x of type {type(x)}"
        )
    is_iterator = is_grain(x, GRAIN_ITERATORS)
    if is_iterator and epochs - initial_epoch > 1 and not steps_per_epoch:
        raise ValueError(
            "A grain iterator goes on from where it stands and cannot begin "
            "again with each epoch. Set `steps_per_epoch`, or pass the "
            f"dataset. Received: an iterator, epochs={epochs}, "
            "steps_per_epoch=None"
        )
    from keras_jest.data.positioned_dataset import PositionedDataset

    return PositionedDataset(x)


def is_grain(data, names=GRAIN_DATASETS + GRAIN_ITERATORS):
    """Whether data are grain's; who has not imported grain has none."""
    grain = sys.modules.get("grain")
    kinds = (getattr(grain, name, None) for name in names)
    return isinstance(data, tuple(kind for kind in kinds if kind))


def with_position(batch, number):
    """Let a batch carry a number through `fit`, to the step it is trained in.

    Iterators are ahead of what is trained: Keras, tf.data and grain read
    batches before they are needed. So what has been trained is known by a
    mark on the batch, not by the place of an iterator.

    Args:
        batch: what a dataset yields: inputs, or a tuple that begins with
            them.
        number: int, below 2**31.

    Returns:
        The batch with other inputs, for `without_position`.
    """
    is_tuple = isinstance(batch, (tuple, list))
    x, *others = batch if is_tuple else (batch,)
    shapes = [np.shape(leaf) for leaf in keras.tree.flatten(x)]
    if not shapes or not all(shapes):
        raise ValueError(
            "All inputs of a batch must be arrays with a row for each "
            f"example. Received: arrays of the shapes {shapes}"
        )
    num_rows = shapes[0][0]
    x = {INPUTS: x, POSITION: np.full((num_rows,), number, "int32")}
    return (x, *others) if is_tuple else x


def without_position(inputs):
    """The inputs of a batch as they were, and the numbers that they carry.

    Args:
        inputs: those of any batch.

    Returns:
        Tuple of the inputs and an int32 tensor of shape `(n,)`, or `None`.
    """
    if isinstance(inputs, dict) and POSITION in inputs:
        return inputs[INPUTS], inputs[POSITION]
    return inputs, None


def take_position(data):
    """Take the mark off a batch, before anything reads its inputs.

    Args:
        data: a batch as Keras hands it to a step.

    Returns:
        Tuple of the batch as its dataset yielded it, and a dict that holds
        the scalar `position` if it was marked.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    x, position = without_position(x)
    if position is None:
        return data, {}
    data = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
    return data, {"position": position[-1]}
