"""The pairwise sigmoid loss of SigLIP."""

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

COLUMN_MULTIPLE = 16


@keras_jest_export("keras_jest.losses.SigmoidContrastiveLoss")
class SigmoidContrastiveLoss(keras.losses.Loss):
    """Pairwise sigmoid loss of image-text pairs, one value per pair.

    Each of the `n * n` combinations of an image and a text is a yes-or-no
    question: do they belong together? The loss of pair `i` is
    `softplus(-logit_ii)`, plus the sum of `softplus(logit_ij)` over the
    texts of all other pairs `j`. The mean over the pairs is SigLIP's loss.

    Args:
        chunk_size: int or `None`. How many images are compared with the
            texts at a time in training. `None` builds the whole `(n, n)`
            matrix; a number keeps memory linear in the batch size, for the
            same values and gradients, and computes each logit twice.
        product_dtype: `"float32"` or `"bfloat16"`, the type of the matrix
            products in `given`. Sums stay in float32.
        reduction: as in `keras.losses.Loss`.
        name: str, the name of the loss.
        dtype: ignored but for Keras; losses are float32.

    Raises:
        ValueError: if `chunk_size` is below 1, `product_dtype` is none of
            the two, or the model's output is not a dict of pairs.

    Example:

    ```python
    import numpy as np
    from keras_jest.losses import SigmoidContrastiveLoss

    embedding = np.eye(4, 8, dtype="float32")
    pairs = {
        "image_embedding": embedding,
        "text_embedding": embedding,
        "logit_scale": np.full(4, 10.0, "float32"),
        "logit_bias": np.full(4, -10.0, "float32"),
    }
    SigmoidContrastiveLoss()((), pairs)  # 0.69: log(2), and little else
    ```

    Reference:
        - [Zhai et al., 2023](https://arxiv.org/abs/2303.15343)
    """

    def __init__(
        self,
        chunk_size: int | None = None,
        product_dtype: str = "float32",
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "sigmoid_contrastive_loss",
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(
                "`chunk_size` must be at least 1, or None for the whole "
                f"matrix at once. Received: chunk_size={chunk_size}"
            )
        if product_dtype not in ("float32", "bfloat16"):
            raise ValueError(
                "`product_dtype` must be 'float32' or 'bfloat16'. "
                f"Received: product_dtype={product_dtype!r}"
            )
        self.chunk_size = chunk_size
        self.product_dtype = product_dtype

    def call(self, y_true: Any, y_pred: Pairs) -> Tensor:
        del y_true
        pairs = check_pairs(y_pred)
        images, texts = scaled_images(pairs), pairs["text_embedding"]
        bias = ops.expand_dims(pairs["logit_bias"], 1)
        # TensorFlow evaluates batches whose size it does not know.
        num_rows = images.shape[0] or 0
        if self.chunk_size is None or self.chunk_size >= num_rows:
            return sum_of_losses(images, texts, bias, first=0)
        return self._losses_by_chunks(images, texts, bias)

    def _losses_by_chunks(self, images, texts, bias):
        def of_chunk(chunk):
            images, bias, first = chunk
            # Without remat the backward pass keeps every chunk of the matrix.
            # TensorFlow's has gradients for its arguments alone.
            losses = keras.remat(
                lambda *tensors: sum_of_losses(*tensors, first)
            )
            return losses(images, texts, bias)

        num_rows = images.shape[0]
        whole = num_rows - num_rows % self.chunk_size
        first = ops.arange(0, whole, self.chunk_size, dtype="int32")
        chunks = self._chunks(images[:whole]), self._chunks(bias[:whole]), first
        losses = ops.reshape(ops.map(of_chunk, chunks), (-1,))
        if whole == num_rows:
            return losses
        rest = sum_of_losses(images[whole:], texts, bias[whole:], first=whole)
        return ops.concatenate([losses, rest])

    def _chunks(self, rows):
        return ops.reshape(rows, (-1, self.chunk_size, rows.shape[1]))

    def given(self, y_pred: Pairs, y_true: Any = None) -> LossGivenSet:
        """The loss of each pair inside a set that is still empty.

        Args:
            y_pred: dict of pairs, `n` rows.
            y_true: ignored.

        Returns:
            A `LossGivenSet`. Its values are the pairs' own terms,
            `softplus(-logit_ii)`; `add(picks)` adds the terms with the
            chosen pairs in both directions.
        """
        del y_true
        pairs = check_pairs(y_pred)
        own_logits = own_similarities(pairs) + pairs["logit_bias"]
        values = ops.softplus(-nan_unless_finite(own_logits))
        for key in ("image_embedding", "text_embedding"):
            pairs[key] = ops.cast(pairs[key], self.product_dtype)
        return SigmoidLossGivenSet(values, pairs)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "chunk_size": self.chunk_size,
            "product_dtype": self.product_dtype,
        }


def sum_of_losses(images, texts, bias, first):
    """Losses of the images from row `first` on with all texts: `(m,)`."""
    logits = ops.matmul(images, ops.transpose(texts)) + bias
    num_images, num_texts = ops.shape(logits)
    image_rows = ops.arange(num_images, dtype="int32") + first
    text_rows = ops.arange(num_texts, dtype="int32")
    own = ops.expand_dims(image_rows, 1) == ops.expand_dims(text_rows, 0)
    return ops.sum(ops.softplus(ops.where(own, -logits, logits)), axis=1)


@dataclasses.dataclass(frozen=True)
class SigmoidLossGivenSet(LossGivenSet):
    """Sigmoid losses of pairs given a set."""

    pairs: dict

    def add(self, picks):
        bias = ops.take(self.pairs["logit_bias"], picks)
        images, texts, bias = pad_columns(
            *chosen_columns(self.pairs, picks), bias
        )

        def losses_with_chosen(strip):
            of_images = negatives(strip[0], texts, bias)
            return of_images + negatives(strip[1], images, bias)

        added = map_strips(losses_with_chosen, embeddings(self.pairs))
        return dataclasses.replace(self, values=self.values + added)


def pad_columns(images, texts, bias):
    """Add columns whose softplus is 0, so that vector units have no rest."""
    padding = (0, -bias.shape[0] % COLUMN_MULTIPLE)
    images, texts = (ops.pad(of, ((0, 0), padding)) for of in (images, texts))
    return images, texts, ops.pad(bias, padding, constant_values=-float("inf"))


def negatives(rows, chosen, bias):
    """Losses of `(m, d)` rows against `(d, k)` chosen ones, summed: `(m,)`."""
    logits = ops.cast(ops.matmul(rows, chosen), "float32") + bias
    return ops.sum(softplus(logits), axis=1)
