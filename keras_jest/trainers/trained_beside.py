"""Models that are trained beside the learner, in the same step."""

import keras
from keras import ops

from keras_jest.models.model_inputs import model_inputs
from keras_jest.trainers.compile_checks import check_same_outputs

SUB_BATCH = "keras_jest_sub_batch"
SUPER_BATCH = "keras_jest_super_batch"


def carry(sub_batch, super_batch):
    """Let the inputs of a sub-batch bring their super-batch along.

    Args:
        sub_batch: what the learner trains on, as a dataset would yield it.
        super_batch: what the reference trains on.

    Returns:
        The sub-batch with other inputs, for `carried`.
    """
    x, y, weight = keras.utils.unpack_x_y_sample_weight(sub_batch)
    names = ("x", "y", "sample_weight")
    whole = keras.utils.unpack_x_y_sample_weight(super_batch)
    whole = {
        name: arrays
        for name, arrays in zip(names, whole, strict=True)
        if arrays is not None
    }
    return {SUB_BATCH: x, SUPER_BATCH: whole}, y, weight


def carried(inputs):
    """The inputs of the sub-batch, and the super-batch or None."""
    if isinstance(inputs, dict) and SUPER_BATCH in inputs:
        return inputs[SUB_BATCH], inputs[SUPER_BATCH]
    return inputs, None


def with_losses_beside(model, loss, x, y, y_pred, sample_weight, training):
    """The learner's loss, and the gradients of the others', too.

    Args:
        model: a `SelectingModel`.
        loss: scalar tensor, the learner's and the weight penalties of all
            models, which Keras has added: they are parts of this one.
        x: inputs of the sub-batch; they may carry the super-batch, which is
            what a reference trains on: on the sub-batch alone it would
            follow the online model, and no score would be left.
        y: targets of the sub-batch, or `None`.
        y_pred: outputs of the learner.
        sample_weight: tensor of shape `(b,)` or `None`.
        training: bool. Without it, only weight penalties are trained.

    Returns:
        A scalar, the learner's loss.
    """
    penalties = weight_penalties(model.roles.trained_beside.values())
    loss = loss - ops.stop_gradient(penalties)
    if not training:
        return loss
    x, whole = carried(x)
    sub_batch = {"x": x, "y": y, "sample_weight": sample_weight}
    for role, beside in model.roles.trained_beside.items():
        is_reference = beside is model.reference and whole is not None
        batch = whole if is_reference else sub_batch
        own = own_loss(beside, role, model.loss, batch, y_pred)
        loss = loss + (own - ops.stop_gradient(own))
    return loss


def own_loss(beside, role, loss, batch, y_pred):
    """What one model trains on, without its weight penalties."""
    inputs = model_inputs(beside, batch["x"], role)
    # Without a scope of its own, JAX forgets what layers add by `add_loss`.
    pairs = [(variable, variable.value) for variable in beside.variables]
    with keras.StatelessScope(pairs, collect_losses=True) as scope:
        outputs = beside(inputs, training=True)
        added = beside.losses
    before = {id(variable): value for variable, value in pairs}
    for variable in beside.non_trainable_variables:
        value = scope.get_current_value(variable)
        # Quantised weights may not be written, on torch, while gradients are
        # still to come.
        if value is not before[id(variable)]:
            variable.assign(value)
    check_same_outputs(role, outputs, y_pred)
    added = sum((ops.sum(one) for one in added), ops.zeros(()))
    own = loss_of(loss, batch, outputs)
    return own + added - weight_penalties([beside])


def loss_of(loss, batch, y_pred):
    y = batch.get("y")
    # Keras cannot convert None to a tensor.
    return loss(() if y is None else y, y_pred, batch.get("sample_weight"))


def weight_penalties(models):
    """The sum of all weight regularizers of these models."""
    return sum(
        (
            ops.sum(variable.regularizer(variable))
            for model in models
            for variable in model.trainable_variables
            if variable.regularizer is not None
        ),
        ops.zeros(()),
    )
