"""Selection of each example by itself."""

from keras_jest.api_export import keras_jest_export
from keras_jest.losses.loss_given_set import LossGivenSet
from keras_jest.selection.draws import draw
from keras_jest.selection.draws import fold_in
from keras_jest.selection.scores import score_rows
from keras_jest.selection.selection_policy import SelectionPolicy
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.IndependentSelection")
class IndependentSelection(SelectionPolicy):
    """Picks examples by their own scores, whoever else is in the batch.

    One draw in proportion to `exp(gain * score)`: the first chunk of
    `JointSelection`, made as large as the sub-batch. It is what classifiers
    need, and the baseline that joint selection must beat.

    Args:
        filter_ratio: float in [0, 1), the share of the super-batch that is
            dropped: 0.8 keeps a fifth.
        sub_batch_size: int or `None`. How many rows to keep, whatever the
            size of the super-batch. It wins over `filter_ratio`.
        score: `"learnability"`, `"easy_reference"`, `"hard_learner"`, or a
            function of the learner's and the reference's losses.
        gain: float. What scores are multiplied by before the draw; infinity
            takes the highest.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    ```python
    from keras_jest import IndependentSelection

    # RHO-LOSS: always the most learnable tenth.
    policy = IndependentSelection(filter_ratio=0.9, gain=float("inf"))
    ```

    Reference:
        - [Evans et al., 2023](https://arxiv.org/abs/2312.05328)
    """

    def select(
        self, learner: LossGivenSet, reference: LossGivenSet, seed: Tensor
    ) -> Tensor:
        scores = score_rows(self.score, learner.values, reference.values)
        size = self.num_kept(scores.shape[0])
        return draw(scores, self.gain, size, fold_in(seed, 0))
