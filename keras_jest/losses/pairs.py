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


def embeddings(pairs):
    """The embeddings of images and of texts, both `(n, d)`."""
    return pairs["image_embedding"], pairs["text_embedding"]


def scaled_images(pairs):
    """`images`, so that `images @ texts.T + bias` are the logits: `(n, d)`."""
    scale = ops.expand_dims(pairs["logit_scale"], 1)
    return pairs["image_embedding"] * scale


def own_similarities(pairs):
    """The logit of each pair with itself, without the bias: `(n,)`."""
    images, texts = embeddings(pairs)
    return ops.sum(images * texts, axis=1) * pairs["logit_scale"]


def nan_unless_finite(values):
    """Make infinities NaN: the loss of an infinite logit may be 0."""
    return ops.where(ops.isfinite(values), values, float("nan"))


def chosen_columns(pairs, picks):
    """What candidates are multiplied by for their logits with chosen pairs.

    The scale is that of the chosen pairs: it is the same for all, and a
    scaled copy of all candidates would double the memory of selection.

    Args:
        pairs: dict of tensors, `n` rows.
        picks: int32 tensor of shape `(k,)`, the chosen rows.

    Returns:
        Tuple `(images, texts)` of tensors of shape `(d, k)`, of the type of
        the embeddings.
    """
    scale = ops.expand_dims(ops.take(pairs["logit_scale"], picks), 1)

    def columns(embedding):
        chosen = ops.multiply(ops.take(embedding, picks, axis=0), scale)
        return ops.cast(ops.transpose(chosen), embedding.dtype)

    images, texts = embeddings(pairs)
    return columns(images), columns(texts)
