"""The scoring pass: losses of a whole super-batch, without gradients."""

import contextlib

import keras
from keras import ops

from keras_jest.losses.loss_given_set import LossGivenSet
from keras_jest.losses.loss_given_set import given
from keras_jest.losses.strips import join_strips
from keras_jest.losses.strips import strips
from keras_jest.models.model_inputs import model_inputs
from keras_jest.models.precomputed_losses import PrecomputedLosses


def score(model, x, y, loss, batch_size=None, role="model"):
    """What `model` loses on each row of a super-batch, in inference mode.

    Args:
        model: Keras model.
        x: the inputs of `n` examples.
        y: their targets, or `None`.
        loss: a loss with one value per example.
        batch_size: int or `None`, at how many rows the model looks at a
            time; the memory of its activations grows with it.
        role: str, what the model is called in an error.

    Returns:
        A `LossGivenSet` of `n` values.
    """
    inputs = model_inputs(model, x, role)
    if isinstance(model, PrecomputedLosses):
        return LossGivenSet(model(inputs))
    num_rows = keras.tree.flatten(inputs)[0].shape[0]
    if batch_size is None or batch_size >= num_rows:
        return given(loss, model(inputs, training=False), y)
    slices = keras.tree.map_structure(
        lambda rows: strips(rows, batch_size), inputs
    )
    outputs = ops.map(lambda rows: model(rows, training=False), slices)
    outputs = keras.tree.map_structure(
        lambda rows: join_strips(rows, num_rows), outputs
    )
    return given(loss, outputs, y)


def no_losses(num_rows):
    """Zeros, in the place of a model that a policy does not need."""
    return LossGivenSet(ops.zeros((num_rows,), "float32"))


def gather(batch, picks):
    """The rows `picks` of every array of a batch.

    Under `DataParallel` they are laid out over the devices again; XLA would
    otherwise let every device train on all of them.
    """
    distribution = keras.distribution.distribution()

    def take(rows):
        if rows is None:
            return None
        rows = ops.take(rows, picks, axis=0)
        if distribution is None:
            return rows
        return keras.distribution.distribute_tensor(
            rows, distribution.get_data_layout(rows.shape)
        )

    return keras.tree.map_structure(take, batch)


def check_sizes(num_rows, num_kept):
    """Raise unless the devices divide super-batch and sub-batch."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return
    mesh = distribution.device_mesh
    axis = distribution.batch_dim_name
    num_devices = mesh.shape[mesh.axis_names.index(axis)]
    if num_rows % num_devices or num_kept % num_devices:
        raise ValueError(
            "Super-batch and sub-batch must both divide by the number of "
            f"devices. Received: super-batch={num_rows}, "
            f"sub-batch={num_kept}, devices={num_devices}. Set "
            "`drop_remainder` in the dataset and `sub_batch_size` in the "
            "policy."
        )


@contextlib.contextmanager
def explained_sizes():
    """Say what to do where JAX cannot lay a batch out."""
    try:
        yield
    except ValueError as error:
        is_distributed = keras.distribution.distribution() is not None
        if not is_distributed or "evenly divide" not in str(error):
            raise
        raise ValueError(
            "The devices do not divide a batch. Set `drop_remainder` "
            f"in the dataset, or another batch size. Received: {error}"
        ) from error
