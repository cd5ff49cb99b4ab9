"""How a selecting model is compiled: the method `SelectingModel.compile`."""

from typing import Any

import keras

from keras_jest.selection import policies
from keras_jest.selection.policies import PolicyLike
from keras_jest.trainers.compile_checks import check_loss
from keras_jest.trainers.compile_checks import check_policy
from keras_jest.trainers.compile_checks import check_schedule
from keras_jest.trainers.optimizer_per_model import optimizer_per_model
from keras_jest.trainers.saving_checks import warn_of_lambda
from keras_jest.trainers.settings import Settings


def compile(
    self: keras.Model,
    optimizer: str | keras.optimizers.Optimizer = "adam",
    loss: keras.losses.Loss | None = None,
    selection: PolicyLike = "joint",
    score_loss: keras.losses.Loss | None = None,
    first_step: int = 0,
    last_step: int | None = None,
    scoring_batch_size: int | None = None,
    online_optimizer: str | keras.optimizers.Optimizer | None = None,
    reference_optimizer: str | keras.optimizers.Optimizer | None = None,
    **kwargs: Any,
) -> None:
    """Configure training and selection.

    Args:
        optimizer: the learner's, as in `keras.Model.compile`.
        loss: `keras.losses.Loss` with one value per example, such as
            `keras_jest.losses.SigmoidContrastiveLoss()`.
        selection: `"joint"`, `"independent"`, `"uniform"`, a
            `keras_jest.SelectionPolicy`, or `None` for plain training.
        score_loss: loss for scoring, where it is not the training loss.
        first_step: int, the first step in which rows are selected by
            their scores. Before it, the same number is drawn
            uniformly, and nothing is scored: rows that are not finite
            go unnoticed. Steps are counted over all calls of `fit` that
            select.
        last_step: int or `None`, the step before which selection by
            score ends; `None` is never.
        scoring_batch_size: int or `None`. At how many rows the models
            look at a time when they score, to bound memory. `None` is
            the whole super-batch.
        online_optimizer: that of an online model; by default a copy of
            the learner's, without what is excluded from weight decay.
        reference_optimizer: that of a reference that is trained; by
            default a copy of the learner's.
        **kwargs: further arguments of `keras.Model.compile`.

    Raises:
        ValueError: if the loss has no value per example, the policy
            needs a reference and there is none, a number is out of
            range, or an optimizer is for what is not trained.
    """
    metrics = kwargs.get("metrics") or kwargs.get("weighted_metrics")
    check_loss(loss, score_loss, kwargs.get("loss_weights"), metrics)
    check_schedule(first_step, last_step, scoring_batch_size)
    settings = Settings(
        policies.get(selection),
        score_loss,
        first_step,
        last_step,
        scoring_batch_size,
        kwargs.get("jit_compile", "auto"),
    )
    policy, scores_by = settings.selection, score_loss or loss
    check_policy(policy, self, scores_by, settings.is_scheduled)
    warn_of_lambda(self, policy)
    self.settings, self.selection = settings, policy
    self.roles.freeze_reference()
    optimizer = optimizer_per_model(
        self, optimizer, online_optimizer, reference_optimizer
    )
    keras.Model.compile(self, optimizer=optimizer, **kwargs)
    # Not given to Keras, which would look for one loss per output.
    self.loss = loss
