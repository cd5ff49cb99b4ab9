"""The softmax contrastive loss of CLIP."""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.losses.loss_given_set import LossGivenSet
from keras_jest.losses.pairs import check_pairs
from keras_jest.losses.pairs import chosen_columns
from keras_jest.losses.pairs import embeddings
from keras_jest.losses.pairs import nan_unless_finite
from keras_jest.losses.pairs import own_similarities
from keras_jest.losses.pairs import scaled_images
from keras_jest.losses.strips import map_strips
from keras_jest.losses.strips import softplus
from keras_jest.types import Pairs
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.losses.SoftmaxContrastiveLoss")
class SoftmaxContrastiveLoss(keras.losses.Loss):
    """Softmax loss of image-text pairs in both directions, one value per pair.

    Each image must find its text among those of the batch, and each text its
    image: the mean of the two cross-entropies.

    Args:
        form: `"paper"` or `"exact"`, the loss of a candidate given a set.
            `"paper"` contrasts the candidate with the chosen pairs alone, as
            the listing does. `"exact"` is the true change of the summed loss
            if the candidate joins: its own pair is in its denominators, and
            what it adds to the denominators of the chosen counts. `"exact"`
            starts again from all picks with every `add`, so it is for
            comparisons on small super-batches.
        reduction: as in `keras.losses.Loss`.
        name: str, the name of the loss.
        dtype: ignored but for Keras; losses are float32.

    Raises:
        ValueError: if `form` is none of the two, or the model's output is
            not a dict of pairs.

    Example:

    ```python
    import numpy as np
    from keras_jest.losses import SoftmaxContrastiveLoss

    embedding = np.eye(4, 8, dtype="float32")
    pairs = {
        "image_embedding": embedding,
        "text_embedding": embedding,
        "logit_scale": np.full(4, 2.0, "float32"),
        "logit_bias": np.zeros(4, "float32"),
    }
    SoftmaxContrastiveLoss()((), pairs)  # 0.34 = log(1 + 3 / exp(2))
    ```

    Reference:
        - [Radford et al., 2021](https://arxiv.org/abs/2103.00020)
        - [Evans et al., 2024, appendix](https://arxiv.org/abs/2406.17711)
    """

    def __init__(
        self,
        form: str = "paper",
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "softmax_contrastive_loss",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if form not in ("paper", "exact"):
            raise ValueError(
                f"`form` must be 'paper' or 'exact'. Received: form={form!r}"
            )
        self.form = form

    def call(self, y_true: Any, y_pred: Pairs) -> Tensor:
        del y_true
        pairs = check_pairs(y_pred)
        images, texts = scaled_images(pairs), pairs["text_embedding"]
        logits = ops.matmul(images, ops.transpose(texts))
        over_texts = ops.logsumexp(logits, axis=1)
        over_images = ops.logsumexp(logits, axis=0)
        losses = 0.5 * (over_texts + over_images) - own_similarities(pairs)
        # It cancels, but a bias that is trained should have a gradient: 0.
        return losses + 0.0 * pairs["logit_bias"]

    def given(self, y_pred: Pairs, y_true: Any = None) -> LossGivenSet:
        """The loss of each pair inside a set that is still empty.

        Args:
            y_pred: dict of pairs, `n` rows.
            y_true: ignored.

        Returns:
            A `LossGivenSet`. With nothing chosen there is no denominator
            and its values are `-logit_ii`.
        """
        del y_true
        pairs = check_pairs(y_pred)
        # From the first pick on the bias cancels.
        own = nan_unless_finite(own_similarities(pairs))
        values = -(own + pairs["logit_bias"])
        if self.form == "exact":
            return ExactSoftmaxLossGivenSet(values, pairs, own, None)
        nothing = ops.full_like(own, -float("inf"))
        return SoftmaxLossGivenSet(values, pairs, own, nothing, nothing)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "form": self.form}


@dataclasses.dataclass(frozen=True)
class SoftmaxLossGivenSet(LossGivenSet):
    """The listing's form: candidates against the chosen pairs alone."""

    pairs: dict
    own: object
    over_texts: object
    over_images: object

    def add(self, picks):
        chosen_images, chosen_texts = chosen_columns(self.pairs, picks)

        def log_sums(strip):
            images, texts = strip
            return (
                ops.logsumexp(ops.matmul(images, chosen_texts), axis=1),
                ops.logsumexp(ops.matmul(texts, chosen_images), axis=1),
            )

        of_texts, of_images = map_strips(log_sums, embeddings(self.pairs))
        over_texts = log_add(self.over_texts, of_texts)
        over_images = log_add(self.over_images, of_images)
        return dataclasses.replace(
            self,
            values=0.5 * (over_texts + over_images) - self.own,
            over_texts=over_texts,
            over_images=over_images,
        )


@dataclasses.dataclass(frozen=True)
class ExactSoftmaxLossGivenSet(LossGivenSet):
    """The change of the set's summed loss if the candidate joins it."""

    pairs: dict
    own: object
    picks: object

    def add(self, picks):
        if self.picks is not None:
            picks = ops.concatenate([self.picks, picks])
        images, texts = embeddings(self.pairs)
        chosen_images, chosen_texts = chosen_columns(self.pairs, picks)
        among = ops.matmul(ops.take(images, picks, axis=0), chosen_texts)
        as_image = self._change(images, chosen_texts)
        as_text = self._change(texts, chosen_images)
        back = self._back(texts, chosen_images, among, axis=1)
        back = back + self._back(images, chosen_texts, among, axis=0)
        values = 0.5 * (as_image + as_text + back) - self.own
        return dataclasses.replace(self, values=values, picks=picks)

    def _change(self, candidates, chosen):
        """Log-sum-exp of each candidate over the chosen and its own pair."""
        logits = ops.matmul(candidates, chosen)
        return log_add(ops.logsumexp(logits, axis=1), self.own)

    def _back(self, candidates, chosen, among, axis):
        """What each candidate adds to the losses of the chosen."""
        logits = ops.matmul(candidates, chosen)
        return ops.sum(softplus(logits - ops.logsumexp(among, axis=axis)), 1)


def log_add(first, second):
    """`log(exp(first) + exp(second))`, where `first` may be minus infinity."""
    return second + softplus(first - second)
