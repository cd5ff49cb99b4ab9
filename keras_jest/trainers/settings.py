"""What a selecting model is compiled with, beside what Keras keeps."""

from typing import NamedTuple

import keras
from keras import ops

NEVER = 2**31 - 1


class Settings(NamedTuple):
    """The arguments of `SelectingModel.compile` that Keras does not keep.

    Of `jit_compile="auto"` it keeps what that meant on one backend, so that a
    file of torch would run without XLA wherever it is loaded.

    Args:
        selection: policy or `None`.
        score_loss: loss for scoring, or `None` for the training loss.
        first_step: int, the first step in which rows are selected by score.
        last_step: int, the step before which that ends, or `None`.
        scoring_batch_size: int or `None`, the rows scored at a time.
        jit_compile: bool or `"auto"`.
    """

    selection: object = None
    score_loss: keras.losses.Loss | None = None
    first_step: int = 0
    last_step: int | None = None
    scoring_batch_size: int | None = None
    jit_compile: bool | str = "auto"

    @property
    def is_scheduled(self):
        return self.first_step > 0 or self.last_step is not None

    def is_on(self, step):
        """Whether rows are selected by score in a step: a boolean tensor."""
        last = NEVER if self.last_step is None else self.last_step
        return ops.logical_and(step >= self.first_step, step < last)
