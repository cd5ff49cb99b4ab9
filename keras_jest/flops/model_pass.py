"""One way in which a model looks at rows, and how many it looks at."""

from collections.abc import Callable
from typing import NamedTuple

import keras


class ModelPass(NamedTuple):
    """One of the passes that a training step is made of.

    A model tells a ledger what its steps cost by a method
    `passes(inputs)` that returns a list of these. What a pass costs is
    counted on all rows of a batch at once, whatever slices it is made in.

    Args:
        term: str, the term of `keras_jest.evaluation.computation` that the
            pass belongs to, or `UNIFORM`: what one would do without
            selection, told where it is not the learner's training pass. It
            is compared with, and not counted.
        model: Keras model, whose variables are read.
        look: function of the inputs of a batch, as the dataset yields them,
            to outputs. It calls the model in inference or training mode.
        is_training: bool. The gradients of the model's trainable variables
            are computed, too.
        counted_by: `"trained_rows"` or `"scored_rows"`, the metric of
            `model.selection_metrics` that counts its rows.
        share: float, how many rows the pass looks at for each of these.
    """

    term: str
    model: keras.Model
    look: Callable
    is_training: bool = False
    counted_by: str = "scored_rows"
    share: float = 1.0


UNIFORM = "uniform training"
