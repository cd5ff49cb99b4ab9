"""The loss that each example would have inside a chosen set of others."""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.losses.LossGivenSet")
@dataclasses.dataclass(frozen=True)
class LossGivenSet:
    """Losses per example, given the examples that were chosen so far.

    This is the one interface between losses and selection: a policy reads
    `values`, draws some rows, and calls `add(picks)` to learn what the
    losses become once those rows are in the set. It is immutable, so a
    policy may look ahead without undoing anything.

    The base class is the case of losses that no other example changes, such
    as a classifier's cross-entropy: `add` returns the same object. A loss
    that compares examples returns a subclass from its `given` method.

    Args:
        values: float32 tensor of shape `(n,)`, the loss of each example. It
            is NaN where the model's output is not finite.

    Example:

    ```python
    from keras import ops
    from keras_jest.losses import LossGivenSet

    losses = LossGivenSet(ops.array([0.5, 2.0, 1.0]))
    losses.add(ops.array([1])).values  # the same three numbers
    ```

    Reference:
        - [Evans et al., 2024, section 2](https://arxiv.org/abs/2406.17711)
    """

    values: Tensor

    def add(self, picks: Tensor) -> "LossGivenSet":
        """The losses once the rows `picks`, `(k,)` int32, are chosen too."""
        del picks
        return self


@keras_jest_export("keras_jest.losses.given")
def given(
    loss: keras.losses.Loss, y_pred: Any, y_true: Any = None
) -> LossGivenSet:
    """Losses per example of any Keras loss, ready to be conditioned on a set.

    Args:
        loss: a `keras.losses.Loss` whose `call` returns one value per
            example. If it has a method `given`, that one is asked.
        y_pred: what the model returned for `n` examples.
        y_true: the targets of the same examples, where the loss has any.

    Returns:
        A `LossGivenSet` of `n` values, in float32. Of several values for an
        example it is their mean; a Keras mask of padded outputs is not read.

    Raises:
        ValueError: if the loss returns a scalar, which cannot rank examples.

    Example:

    ```python
    import numpy as np
    import keras
    from keras_jest.losses import given

    loss = keras.losses.SparseCategoricalCrossentropy()
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6]], "float32")
    given(loss, probabilities, np.array([0, 0])).values  # 0.11, 0.92
    ```
    """
    if hasattr(loss, "given"):
        return loss.given(y_pred, y_true)
    y_true = () if y_true is None else y_true
    values = loss.call(in_float32(y_true), in_float32(y_pred))
    if len(values.shape) == 0:
        raise ValueError(
            "Selection needs a loss with one value per example. "
            f"Received: loss={loss}, whose `call` returned a scalar. Return "
            "the values before their mean from `call`; `reduction` takes it."
        )
    axes = tuple(range(1, len(values.shape)))
    return LossGivenSet(ops.mean(values, axis=axes) if axes else values)


def in_float32(tree):
    """A tree of arrays, as Keras casts it for a loss in training.

    A loss whose own dtype is shorter gets float32, too: bfloat16 would round
    the numbers of classes above 256.
    """
    return keras.tree.map_structure(
        lambda array: ops.cast(ops.convert_to_tensor(array), "float32"), tree
    )
