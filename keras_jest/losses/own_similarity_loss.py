"""A score of image-text pairs that needs no other pair."""

from typing import Any

import keras
from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.losses.pairs import check_pairs
from keras_jest.losses.pairs import embeddings
from keras_jest.losses.pairs import own_similarities
from keras_jest.types import Pairs
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.losses.OwnSimilarityLoss")
class OwnSimilarityLoss(keras.losses.Loss):
    """Minus the similarity of each image with its own text.

    It is how ActiveCLIP scores, and nothing to train on: without other pairs
    all embeddings would fall together. The difference of two models is how
    much better the reference knows that image and text belong together.

    Similarities of unit embeddings differ by a few hundredths, and a draw in
    proportion to their exponential would be uniform in all but name. So they
    are multiplied by a gain. That it is the models' own logit scale by
    default is our choice: the paper names none.

    Args:
        gain: float, or `None` for each model's own logit scale.
        reduction: str, as in every Keras loss.
        name: str.
        dtype: dtype policy of the loss.

    Call arguments:
        y_true: ignored.
        y_pred: dict of pairs, see `keras_jest.models.make_pairs`.

    Returns:
        float32 tensor of shape `(n,)` before the reduction.

    Example:

    ```python
    import numpy as np
    from keras_jest.losses import OwnSimilarityLoss
    from keras_jest.models import make_pairs

    images, texts = np.eye(2), np.array([[1.0, 0.0], [1.0, 0.0]])
    pairs = make_pairs(images, texts, logit_scale=10.0, logit_bias=0.0)
    print(OwnSimilarityLoss().call((), pairs))  # -10, 0
    ```

    Reference:
        - [Evans et al., 2023](https://arxiv.org/abs/2312.05328), where the gain
          is 1.
    """

    def __init__(
        self,
        gain: float | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "own_similarity_loss",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.gain = gain

    def call(self, y_true: Any, y_pred: Pairs) -> Tensor:
        del y_true
        pairs = check_pairs(y_pred)
        if self.gain is None:
            return -own_similarities(pairs)
        images, texts = embeddings(pairs)
        return -self.gain * ops.sum(images * texts, axis=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gain": self.gain}
