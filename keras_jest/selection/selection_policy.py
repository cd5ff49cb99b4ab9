"""The base of all policies: losses in, picks out."""

import numbers
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import Self

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.losses.loss_given_set import LossGivenSet
from keras_jest.selection import scores
from keras_jest.selection.scores import Score
from keras_jest.types import Tensor


def takes_columns(select: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Tell type checkers that a subclass takes the columns that it names."""
    return select


@keras_jest_export("keras_jest.SelectionPolicy")
class SelectionPolicy:
    """Decides which rows of a super-batch are trained on.

    A policy sees losses, and no models. To write one, subclass this and
    define `select` with `keras.ops`; to keep a memory between steps, write a
    `keras.layers.Layer` with `num_kept`, `select` and `needs`, and give it to
    the constructor of `JESTModel`.

    Of the data it sees the columns that it names: with `columns =
    ("concepts",)` batches must be dicts that hold `"concepts"`, and `select`
    gets it by that name. The `"key"` of a row is not to be had. A layer has
    the same attribute, and both may have two methods more:
    `check_columns(**columns)` is given the columns of the first batch of a
    run, as NumPy arrays, before the first step, and `check_steps()` is
    called when steps have been made, at the latest at the end of an epoch;
    either raises a `ValueError` if it does not like what it has seen.

    Args:
        filter_ratio: float in [0, 1), the share of the super-batch that is
            dropped: 0.8 keeps a fifth.
        sub_batch_size: int or `None`. How many rows to keep, whatever the
            size of the super-batch. It wins over `filter_ratio`.
        score: name of a score, or a function of the learner's and the
            reference's losses, both `(n,)`, that returns `(n,)`.
        gain: float. What scores are multiplied by before the draw: 0 draws
            uniformly, infinity always takes the highest.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    ```python
    from keras import ops
    from keras_jest import SelectionPolicy

    class FirstRows(SelectionPolicy):
        needs = ()

        def select(self, learner, reference, seed, **columns):
            return ops.arange(self.num_kept(learner.values.shape[0]))
    ```
    """

    columns: Sequence[str] = ()

    def __init__(
        self,
        filter_ratio: float = 0.8,
        sub_batch_size: int | None = None,
        score: str | Score = "learnability",
        gain: float = 1.0,
    ) -> None:
        if not 0 <= filter_ratio < 1:
            raise ValueError(
                "`filter_ratio` is the share of each super-batch that is "
                "dropped, at least 0 and below 1. "
                f"Received: filter_ratio={filter_ratio}"
            )
        if sub_batch_size is not None and not is_count(sub_batch_size):
            raise ValueError(
                "`sub_batch_size` must be an int of at least 1, or None to "
                "follow `filter_ratio`. "
                f"Received: sub_batch_size={sub_batch_size}"
            )
        if not gain >= 0:
            raise ValueError(
                "`gain` must be at least 0; turn the score around to prefer "
                f"low values. Received: gain={gain}"
            )
        self.filter_ratio = filter_ratio
        self.sub_batch_size = sub_batch_size
        self.score = scores.get(score)
        self.gain = gain

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the models whose losses `select` reads."""
        return scores.needs(self.score)

    def num_kept(self, num_rows: int) -> int:
        """How many of `num_rows` rows are kept: an int, at least 1."""
        if self.sub_batch_size is not None:
            return min(num_rows, self.sub_batch_size)
        # Rounded, since 163840 * (1 - 0.8) is a little below 32768.
        kept = round(num_rows * (1 - self.filter_ratio))
        return min(num_rows, max(1, kept))

    @takes_columns
    def select(
        self,
        learner: LossGivenSet,
        reference: LossGivenSet,
        seed: Tensor,
        **columns: Tensor,
    ) -> Tensor:
        """Pick rows of one super-batch.

        Args:
            learner: `LossGivenSet` of the learner, `n` values.
            reference: `LossGivenSet` of the reference, `n` values. Of a
                model that `needs` does not name, all values are zero.
            seed: int32 scalar tensor, another one for each step.
            **columns: tensors of `n` rows, those that `columns` names. Where
                it names none, leave this argument out.

        Returns:
            int32 tensor of shape `(num_kept(n),)`, distinct row numbers.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define `select`."
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "filter_ratio": self.filter_ratio,
            "sub_batch_size": self.sub_batch_size,
            "score": keras.saving.serialize_keras_object(self.score),
            "gain": self.gain,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        config = dict(config)
        if isinstance(config.get("score"), dict):
            config["score"] = keras.saving.deserialize_keras_object(
                config["score"]
            )
        return cls(**config)


def is_count(number):
    """Whether a number of rows or chunks is a whole one, at least 1."""
    return isinstance(number, numbers.Integral) and number >= 1
