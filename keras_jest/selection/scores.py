"""Scores: what makes an example worth training on; higher is kept sooner."""

from collections.abc import Callable
from typing import TypeAlias

from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.types import Tensor

# Losses of learner and reference, `(n,)` each, to scores `(n,)`.
Score: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@keras_jest_export("keras_jest.selection.learnability")
def learnability(learner: Tensor, reference: Tensor) -> Tensor:
    """What the learner still gets wrong and the reference gets right.

    Noise is as hard for the reference as for the learner, and what the
    learner knows already is easy for both: neither scores high.

    Args:
        learner: float32 tensor of shape `(n,)`, the learner's losses.
        reference: float32 tensor of shape `(n,)`, the reference's losses.

    Returns:
        float32 tensor of shape `(n,)`.

    Example:

    ```python
    from keras import ops
    from keras_jest.selection import learnability

    # Learnable, noise, known already.
    learnability(ops.array([3.0, 3.0, 0.1]), ops.array([0.2, 3.0, 0.1]))
    ```

    Reference:
        - [Mindermann et al., 2022](https://arxiv.org/abs/2206.07137)
        - [Evans et al., 2024, section 2](https://arxiv.org/abs/2406.17711)
    """
    return ops.subtract(learner, reference)


@keras_jest_export("keras_jest.selection.hard_learner")
def hard_learner(learner: Tensor, reference: Tensor) -> Tensor:
    """What the learner gets wrong, noise included: the learner's loss.

    Args:
        learner: float32 tensor of shape `(n,)`, the learner's losses.
        reference: not used, so no reference is needed.

    Returns:
        float32 tensor of shape `(n,)`.

    Example:

    ```python
    from keras_jest import IndependentSelection

    # Always the highest losses.
    policy = IndependentSelection(score="hard_learner", gain=float("inf"))
    policy.needs  # ("learner",)
    ```
    """
    del reference
    return learner


@keras_jest_export("keras_jest.selection.easy_reference")
def easy_reference(learner: Tensor, reference: Tensor) -> Tensor:
    """What a good model explains: minus the reference's loss.

    It drops noise but does not see what the learner knows already. With
    independent selection it is the filtering by CLIP score.

    Args:
        learner: not used, so the learner makes no scoring pass.
        reference: float32 tensor of shape `(n,)`, the reference's losses.

    Returns:
        float32 tensor of shape `(n,)`.

    Example:

    ```python
    from keras_jest import JointSelection

    policy = JointSelection(score="easy_reference")
    policy.needs  # ("reference",)
    ```
    """
    del learner
    return ops.negative(reference)


SCORES = {
    score.__name__: score
    for score in (learnability, hard_learner, easy_reference)
}
NEEDS = {hard_learner: ("learner",), easy_reference: ("reference",)}


def get(score):
    """The score of a name, or the function itself."""
    if callable(score):
        return score
    if score not in SCORES:
        raise ValueError(
            f"`score` must be one of {sorted(SCORES)}, or a function of the "
            "learner's and the reference's losses, both (n,), that returns "
            f"(n,). Received: score={score!r}"
        )
    return SCORES[score]


def score_rows(score, learner, reference):
    """Call a score, and raise, while the step is traced, if it is not one.

    Args:
        score: a function of losses, as above.
        learner: float32 tensor of shape `(n,)`.
        reference: float32 tensor of shape `(n,)`.

    Returns:
        Tensor of shape `(n,)`.
    """
    scores = score(learner, reference)
    shape = tuple(getattr(scores, "shape", ()))
    if shape != tuple(learner.shape):
        name = getattr(score, "__name__", type(score).__name__)
        raise ValueError(
            "A score gives each row a number: of losses of shape "
            f"{tuple(learner.shape)} it returns as many. Received: shape "
            f"{shape} from {name}. Leave out what sums or averages over rows."
        )
    return scores


def needs(score):
    """The names of the models whose losses a score reads."""
    return NEEDS.get(score, ("learner", "reference"))
