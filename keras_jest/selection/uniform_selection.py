"""A random part of each super-batch."""

from typing import Any

from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.losses.loss_given_set import LossGivenSet
from keras_jest.selection.draws import draw
from keras_jest.selection.draws import fold_in
from keras_jest.selection.selection_policy import SelectionPolicy
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.UniformSelection")
class UniformSelection(SelectionPolicy):
    """Picks rows at random and scores nothing: the control of an experiment.

    It draws from the same super-batches as the other policies and trains on
    as many examples, so a difference to them is a difference of choice.

    Args:
        filter_ratio: float in [0, 1), the share of the super-batch that is
            dropped: 0.8 keeps a fifth.
        sub_batch_size: int or `None`. How many rows to keep, whatever the
            size of the super-batch. It wins over `filter_ratio`.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    ```python
    from keras_jest import UniformSelection

    policy = UniformSelection(sub_batch_size=128)
    ```
    """

    needs = ()

    def __init__(
        self, filter_ratio: float = 0.8, sub_batch_size: int | None = None
    ) -> None:
        super().__init__(filter_ratio, sub_batch_size)

    def select(
        self, learner: LossGivenSet, reference: LossGivenSet, seed: Tensor
    ) -> Tensor:
        del reference
        scores = ops.zeros_like(learner.values)
        size = self.num_kept(scores.shape[0])
        return draw(scores, 1.0, size, fold_in(seed, 0))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {key: config[key] for key in ("filter_ratio", "sub_batch_size")}
