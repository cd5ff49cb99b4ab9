"""Joint example selection: JEST."""

from typing import Any

from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.losses.loss_given_set import LossGivenSet
from keras_jest.selection.draws import draw
from keras_jest.selection.draws import fold_in
from keras_jest.selection.draws import mark
from keras_jest.selection.scores import Score
from keras_jest.selection.scores import score_rows
from keras_jest.selection.selection_policy import SelectionPolicy
from keras_jest.selection.selection_policy import is_count
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.JointSelection")
class JointSelection(SelectionPolicy):
    """Picks a sub-batch that is learnable as a whole.

    With a contrastive loss, what a pair teaches depends on the others in its
    batch. So the sub-batch is filled chunk by chunk: each chunk is drawn in
    proportion to `exp(gain * score)`, where the score of a candidate comes
    from its losses given all that was chosen before.

    The matrix of all combinations is never built. Both models keep one
    running loss per row; a chunk of `k` rows adds `n * k` terms to it, and
    memory stays linear in `n`.

    Args:
        filter_ratio: float in [0, 1), the share of the super-batch that is
            dropped: 0.8 keeps a fifth.
        sub_batch_size: int or `None`. How many rows to keep, whatever the
            size of the super-batch. It wins over `filter_ratio`.
        num_chunks: int, how many draws fill the sub-batch. 1 is independent
            selection; more follow the joint distribution more closely.
        score: `"learnability"`, `"easy_reference"`, `"hard_learner"`, or a
            function of the learner's and the reference's losses.
        gain: float. What scores are multiplied by before the draw. Scores
            are sums over the chosen set, so with 1 the draw is nearly greedy
            after a few chunks. Infinity takes the highest.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    ```python
    from keras_jest import JointSelection

    policy = JointSelection(filter_ratio=0.9, num_chunks=8)
    policy.num_kept(1280)  # 128
    ```

    Reference:
        - [Evans et al., 2024, section 2 and listing 1](
            https://arxiv.org/abs/2406.17711)
    """

    def __init__(
        self,
        filter_ratio: float = 0.8,
        sub_batch_size: int | None = None,
        num_chunks: int = 16,
        score: str | Score = "learnability",
        gain: float = 1.0,
    ) -> None:
        super().__init__(filter_ratio, sub_batch_size, score, gain)
        if not is_count(num_chunks):
            raise ValueError(
                "`num_chunks` must be an int of at least 1. "
                f"Received: num_chunks={num_chunks}"
            )
        self.num_chunks = num_chunks

    def select(
        self, learner: LossGivenSet, reference: LossGivenSet, seed: Tensor
    ) -> Tensor:
        num_rows = learner.values.shape[0]
        drawn = ops.zeros((num_rows,), "bool")
        picks: list[Tensor] = []
        for number, size in enumerate(self.chunk_sizes(num_rows)):
            if picks:
                learner = learner.add(picks[-1])
                reference = reference.add(picks[-1])
                drawn = mark(drawn, picks[-1])
            scores = score_rows(self.score, learner.values, reference.values)
            chunk_seed = fold_in(seed, number)
            picks.append(draw(scores, self.gain, size, chunk_seed, drawn))
        return ops.concatenate(picks)

    def chunk_sizes(self, num_rows: int) -> list[int]:
        """Sizes of the chunks: they differ by at most 1 and add up."""
        num_kept = self.num_kept(num_rows)
        num_chunks = min(self.num_chunks, num_kept)
        size, larger = divmod(num_kept, num_chunks)
        return [size + (number < larger) for number in range(num_chunks)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_chunks": self.num_chunks}
