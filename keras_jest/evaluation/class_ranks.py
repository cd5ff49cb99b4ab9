"""Which place the own class of a picture takes among all classes."""

import keras
import numpy as np
from keras import ops


class ClassRanks(keras.layers.Layer):
    """Counts the classes that are ahead of the own one of each picture.

    Of the similarities no more is kept than is needed for a batch. Of equal
    ones the lower class is ahead, as for `argmax`; a similarity that is not
    finite is ahead of all and finds nothing itself.

    Args:
        num_classes: int.
        width: int, the width of embeddings.

    Call arguments:
        embedding: `(n, width)` with rows of length 1.
        labels: `(n,)` or `(n, 1)`, int.

    Returns:
        Dict of int32 tensors of shape `(n,)`: `labels`, and `ranks`, 0 where
        the own class is the most similar one.
    """

    def __init__(self, num_classes, width):
        super().__init__(dtype="float32", autocast=False)
        self.num_classes = num_classes
        self.classes = self.add_weight(
            shape=(num_classes, width),
            initializer="zeros",
            trainable=False,
            name="classes",
        )
        self.built = True

    def call(self, embedding, labels):
        labels = ops.reshape(ops.cast(labels, "int32"), (-1, 1))
        similarity = ops.matmul(embedding, ops.transpose(self.classes))
        numbers = ops.arange(self.num_classes, dtype="int32")
        own = ops.sum(
            ops.where(numbers == labels, similarity, 0.0), axis=1, keepdims=True
        )
        is_equal = ops.logical_and(similarity == own, numbers < labels)
        # Not `>`, so that what is NaN is ahead.
        is_ahead = ops.logical_or(ops.logical_not(similarity <= own), is_equal)
        ranks = ops.sum(ops.cast(is_ahead, "int32"), axis=1)
        return {"labels": labels[:, 0], "ranks": ranks}

    def check(self, labels):
        """Raise if a batch has no label for each picture."""
        check_labels(labels, self.num_classes)


def check_labels(labels, num_classes):
    """Raise unless labels are ints, and numbers of classes."""
    if labels is None:
        raise ValueError(
            "Pictures need labels to be evaluated with. Pass arrays as "
            "`evaluate(images, labels)`, or a dataset of tuples "
            "`(images, labels)`. Received: images alone. "
            "`predict(images)` needs none."
        )
    shape, dtype = tuple(labels.shape), str(labels.dtype)
    if "int" not in dtype or shape[1:] not in ((), (1,)):
        raise ValueError(
            "Labels must be ints of shape (n,), the number of each "
            "picture's class in `class_names`. Received: labels of dtype "
            f"{dtype} and shape {shape}"
        )
    check_range(keras.ops.convert_to_numpy(labels), num_classes)


def check_range(labels, num_classes):
    """Raise if labels are no numbers of classes."""
    is_outside = (labels < 0) | (labels >= num_classes)
    if np.any(is_outside):
        raise ValueError(
            f"Labels must be from 0 to {num_classes - 1}, the "
            "numbers of `class_names`. Received: "
            f"{int(np.sum(is_outside))} labels outside, such as "
            f"{labels[is_outside].flat[0]}"
        )


def accuracies(labels, ranks, num_classes):
    """What is right, by the names of CLIP_benchmark.

    Args:
        labels: int array of shape `(n,)`.
        ranks: int array of shape `(n,)`, how many classes are ahead.
        num_classes: int.

    Returns:
        Dict of floats from 0 to 1.
    """
    is_first = ranks < 1
    metrics = {"acc1": float(np.mean(is_first))}
    if num_classes >= 5:
        metrics["acc5"] = float(np.mean(ranks < 5))
    num_pictures = np.bincount(labels, minlength=num_classes)
    num_found = np.bincount(labels[is_first], minlength=num_classes)
    has_pictures = num_pictures > 0
    recalls = num_found[has_pictures] / num_pictures[has_pictures]
    return {**metrics, "mean_per_class_recall": float(np.mean(recalls))}
