"""What a run with selection costs, in the five terms of the paper."""

from keras_jest.api_export import keras_jest_export

TERMS = (
    "learner training",
    "online scoring",
    "online training",
    "reference scoring",
    "reference training",
)
TRAINING = 3  # One forward pass, and a backward pass of twice its cost.


@keras_jest_export("keras_jest.evaluation.computation")
def computation(
    learner: float,
    num_trained: int,
    num_scored: int = 0,
    online: float = 0.0,
    reference: float = 0.0,
    learner_scores: bool = False,
    num_reference: int = 0,
    scorer: float | None = None,
    num_stored: int | None = None,
) -> dict[str, float]:
    """Count the computation of a run, selection and small models included.

    Leave a term out by leaving its argument out: stored reference losses
    have `reference=0.0`, a reference that serves many runs has
    `num_reference=0`. A replayed run has no more than `num_trained`.

    Args:
        learner: float, the forward pass of the learner on one example, in
            FLOPs or any other unit.
        num_trained: int, examples that the learner was trained on, with
            repetition: steps times the size of a sub-batch.
        num_scored: int, examples that were scored: steps times the size of
            a super-batch.
        online: float, the forward pass of the online model.
        reference: float, the forward pass of the reference.
        learner_scores: bool. The learner scores in the place of an online
            model.
        num_reference: int, examples that the reference was trained on.
        scorer: float or `None`, the pass in which online model or learner
            score, where it is not their forward pass: coarse pictures cost
            less.
        num_stored: int or `None`, examples of a pool at which the reference
            looked once, to store what it said. It then scores in no step.

    Returns:
        A dict of floats in the unit of `learner`: `"learner training"`,
        `"online scoring"`, `"online training"`, `"reference scoring"`,
        `"reference training"`, and their sum, `"total"`.

    Example:

    ```python
    from keras_jest.evaluation import computation

    # ViT-L chosen for by ViT-Ti, in GFLOPs; half of each batch is kept.
    plain = computation(61.2, num_trained=1000)
    active = computation(61.2, 1000, 2000, 1.25, 1.25, num_reference=1000)
    print(active["total"] / plain["total"])  # 1.068 a step: save 7 % of them
    ```

    Reference:
        - [Evans et al., 2023](https://arxiv.org/abs/2312.05328), the figure on
          amortisation.
    """
    if scorer is None:
        scorer = learner if learner_scores else online
    num_looks = num_scored if num_stored is None else num_stored
    costs = (
        TRAINING * learner * num_trained,
        scorer * num_scored,
        TRAINING * online * num_trained,
        reference * num_looks,
        TRAINING * reference * num_reference,
    )
    terms = dict(zip(TERMS, costs, strict=True))
    return {**terms, "total": sum(terms.values())}
