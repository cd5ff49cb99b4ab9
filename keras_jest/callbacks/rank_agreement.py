"""Whether coarse scores are worth their price, as training goes on."""

from typing import Any

from keras_jest.api_export import keras_jest_export
from keras_jest.callbacks.every_few_steps import EveryFewSteps
from keras_jest.types import Logs


@keras_jest_export("keras_jest.callbacks.RankAgreement")
class RankAgreement(EveryFewSteps):
    """Compares coarse with fine scores every so many steps.

    A `keras_jest.FlexiJEST` chooses by coarse pictures. This tells on one
    super-batch whether fine ones would say the same. Each time costs a fine
    scoring pass over it, so a part of a super-batch, or a large `every`, is
    what one can afford. The logs of an epoch get the latest values.

    Args:
        super_batch: what the dataset yields, as arrays: a dict, or a tuple
            that begins with one.
        every: int. Compare after so many training steps, and before the
            first one.

    After `fit`, `history` holds one dict per comparison, with `step`, the
    number of training steps so far, and what
    `keras_jest.FlexiJEST.compare_scores` returns: `rank_agreement`, from -1
    to 1, and `equal_picks`, from 0 to 1.

    Raises:
        ValueError: when `fit` begins, if the model does not score coarse
            pictures.

    Example:

    ```python
    from keras_jest.callbacks import RankAgreement

    super_batch = {"images": ..., "token_ids": ...}
    callback = RankAgreement(super_batch, every=500)
    # flexi_jest.fit(super_batches, callbacks=[callback])
    ```
    """

    def __init__(self, super_batch: Any, every: int = 500) -> None:
        if every < 1:
            raise ValueError(
                "`every` must be at least 1, a number of steps. "
                f"Received: every={every}"
            )
        super().__init__(every)
        self.super_batch = super_batch

    def on_train_begin(self, logs: Logs = None) -> None:
        if not hasattr(self.model, "compare_scores"):
            raise ValueError(
                "`RankAgreement` compares coarse with fine scores, so the "
                "model must be a `keras_jest.FlexiJEST`. "
                f"Received: {self.model}"
            )
        if not self.history:
            self._act()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if logs is not None:
            latest = dict(self.history[-1])
            del latest["step"]
            logs.update(latest)

    def _act(self):
        agreement = self.model.compare_scores(self.super_batch)
        self.history.append({"step": self._step, **agreement})
