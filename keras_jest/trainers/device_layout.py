"""Batches and the devices that they are laid out over."""

import keras
from keras import ops


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


def num_devices():
    """Over how many devices the rows of a batch are laid out."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return 1
    mesh = distribution.device_mesh
    return mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]


def check_sizes(num_rows, num_kept):
    """Raise unless the devices divide super-batch and sub-batch."""
    if num_rows % num_devices() or num_kept % num_devices():
        raise ValueError(
            "Super-batch and sub-batch must both divide by the number of "
            f"devices. Received: super-batch={num_rows}, "
            f"sub-batch={num_kept}, devices={num_devices()}. Set "
            "`drop_remainder` in the dataset and `sub_batch_size` in the "
            "policy."
        )
