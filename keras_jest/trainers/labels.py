"""Labels outside the classes, which not every backend minds."""

import keras
from keras import ops


def num_classes(model):
    """How many classes the labels of a model count, None if unknown."""
    outputs = getattr(model.learner, "outputs", None)
    if not outputs:
        return None
    is_sparse = any(
        isinstance(loss, keras.losses.SparseCategoricalCrossentropy)
        and loss.get_config().get("ignore_class") is None
        for loss in (model.loss, model.settings.score_loss)
    )
    return outputs[0].shape[-1] if is_sparse else None


def count_outside(model, labels):
    """How many labels are no class: a scalar tensor, None if unknown."""
    classes = num_classes(model)
    if classes is None or labels is None:
        return None
    is_class = ops.logical_and(labels >= 0, labels < classes)
    return ops.sum(1.0 - ops.cast(is_class, "float32"))


def check_labels(model, labels):
    """Raise, before anything is trained, if an array has bad labels."""
    if not hasattr(labels, "__array__") or num_classes(model) is None:
        return
    check_count(count_outside(model, ops.convert_to_tensor(labels)), model)


def check_count(count, model):
    """Raise if labels were counted that are no class."""
    count = 0 if count is None else int(ops.convert_to_numpy(count))
    if count:
        raise ValueError(explanation(count, num_classes(model)))


class LabelCheck:
    """Raises for the labels of a step when the next one has been made.

    To wait for those of a step at once would idle the device.
    """

    def __init__(self, model):
        self.model = model
        self.count = None

    def __call__(self, chosen):
        check_count(self.count, self.model)
        self.count = chosen.get("labels_outside")


def explanation(count, classes):
    return (
        f"Labels must be from 0 to {classes - 1}, as many as the learner has "
        f"outputs. Received: {count} labels outside. Drop these rows, or give "
        "the learner more outputs."
    )
