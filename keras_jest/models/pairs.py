"""What an image-text model returns."""

from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.types import Pairs
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.models.make_pairs")
def make_pairs(
    image_embedding: Tensor,
    text_embedding: Tensor,
    logit_scale: float | Tensor,
    logit_bias: float | Tensor,
) -> Pairs:
    """Return the pairs that losses and selection read.

    A model of your own is a learner or a reference as soon as its `call()`
    ends with this function. The logit of image `i` and text `j` is
    `logit_scale * <image_i, text_j> + logit_bias`.

    Args:
        image_embedding: Tensor of shape `(n, d)`, of any length and dtype.
        text_embedding: Tensor of shape `(n, d)`.
        logit_scale: Scalar, float or tensor: the inverse temperature.
        logit_bias: Scalar, float or tensor.

    Returns:
        A dict of float32 tensors: `image_embedding` and `text_embedding` of
        shape `(n, d)` with rows of length 1 (rows of zeros stay zero), and
        `logit_scale` and `logit_bias` of shape `(n,)`, one value repeated,
        because Keras splits and joins outputs along their first axis.

    Example:

    ```python
    import numpy as np
    from keras_jest.models import make_pairs

    pairs = make_pairs(np.ones((2, 4)), np.ones((2, 4)), 10.0, -10.0)
    print(pairs["image_embedding"][0])  # 0.5 four times
    print(pairs["logit_scale"])  # 10 twice
    ```
    """
    image_embedding = unit_rows(image_embedding)
    ones = ops.ones_like(image_embedding[:, 0])
    return {
        "image_embedding": image_embedding,
        "text_embedding": unit_rows(text_embedding),
        "logit_scale": ones * logit_scale,
        "logit_bias": ones * logit_bias,
    }


def unit_rows(embedding):
    """Scale rows to length 1 in float32; rows of zeros stay zero.

    The maximum stands inside the root: outside it, as in `ops.normalize`,
    the gradient of a row of zeros is NaN.
    """
    embedding = ops.cast(embedding, "float32")
    squares = ops.sum(ops.square(embedding), axis=-1, keepdims=True)
    return embedding * ops.rsqrt(ops.maximum(squares, 1e-16))


def pairs_shape(image_shape, text_shape):
    """Return the shapes of the pairs of embeddings of these shapes."""
    return {
        "image_embedding": tuple(image_shape),
        "text_embedding": tuple(text_shape),
        "logit_scale": tuple(image_shape[:1]),
        "logit_bias": tuple(image_shape[:1]),
    }
