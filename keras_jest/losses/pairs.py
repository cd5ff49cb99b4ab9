"""Pairs: what an image-text model returns, and the logits they stand for."""

from keras import ops

PAIR_KEYS = ("image_embedding", "text_embedding", "logit_scale", "logit_bias")


def check_pairs(pairs):
    """Return `pairs` in float32, or say what is missing from them.

    Args:
        pairs: dict with `image_embedding` and `text_embedding`, both
            `(n, d)` with rows of length 1, and `logit_scale` and
            `logit_bias`, both `(n,)`.

    Returns:
        A dict of the same four arrays as float32 tensors.

    Raises:
        ValueError: if `pairs` is no such dict.
    """
    keys = sorted(pairs) if isinstance(pairs, dict) else type(pairs).__name__
    if not isinstance(pairs, dict) or not set(PAIR_KEYS) <= set(pairs):
        raise ValueError(
            "A contrastive loss needs the pairs that an image-text model "
            f"returns: a dict with the keys {PAIR_KEYS}. Received: {keys}. "
            "Wrap two encoders in `keras_jest.models.DualEncoder`."
        )
    pairs = {
        key: ops.cast(ops.convert_to_tensor(pairs[key]), "float32")
        for key in PAIR_KEYS
    }
    ranks = tuple(len(pairs[key].shape) for key in PAIR_KEYS)
    if ranks != (2, 2, 1, 1):
        raise ValueError(
            "Pairs need embeddings of shape (n, d), and a scale and a bias "
            "of shape (n,) that repeat one value, since Keras cuts and joins "
            "every output along its first axis. Received: "
            + ", ".join(f"{key}={tuple(pairs[key].shape)}" for key in PAIR_KEYS)
        )
    return pairs


def factors(pairs):
    """Write the logits as one product: `images @ texts.T + bias`.

    The bias takes no column of the product, since it would make its width
    odd and the product slower, and a softmax does not see it.

    Args:
        pairs: dict of float32 tensors, see `check_pairs`.

    Returns:
        Tuple `(images, texts)` of tensors of shape `(n, d)`.
    """
    scale = ops.expand_dims(pairs["logit_scale"], 1)
    return pairs["image_embedding"] * scale, pairs["text_embedding"]


def own_logits(images, texts, bias=0.0):
    """The logit of each pair with itself, `(n,)`; NaN where not finite."""
    logits = ops.sum(images * texts, axis=1) + bias
    return ops.where(ops.isfinite(logits), logits, float("nan"))
