"""Zero-shot retrieval: find the text of an image and the image of a text."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from numbers import Integral

import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.types import Tensor

ROWS_AT_A_TIME = 1024


@keras_jest_export("keras_jest.evaluation.retrieval")
def retrieval(
    pairs: Mapping[str, Tensor],
    ks: Sequence[int] = (1, 10),
    image_of_text: Sequence[int] | np.ndarray | None = None,
) -> dict[str, float]:
    """Recall at `k` in both directions, from the embeddings of a test set.

    An image is found if one of its own texts is among the `k` most similar
    ones, a text if its image is. Equal similarities count against the model,
    so that one which says the same of everything finds nothing; those of an
    image's own texts do not.

    Args:
        pairs: dict of arrays, what `predict` of an image-text model returns:
            `image_embedding` `(num_images, d)` and `text_embedding`
            `(num_texts, d)` with rows of length 1.
        ks: sequence of ints, the ranks to report.
        image_of_text: optional int array `(num_texts,)`, the row of each
            text's image, where images have several texts. By default text
            `i` belongs to image `i`.

    Returns:
        A dict of floats between 0 and 1: `image_to_text_recall@1`,
        `text_to_image_recall@1`, and so on for the other ranks.

    Raises:
        ValueError: if images and texts cannot belong together, or there are
            none, or a rank is below 1.

    Example:

    ```python
    import numpy as np
    from keras_jest.evaluation import retrieval

    embedding = np.eye(3, dtype="float32")
    swapped = embedding[[0, 2, 1]]
    pairs = {"image_embedding": embedding, "text_embedding": swapped}
    retrieval(pairs, ks=(1,))  # a third, both ways
    ```
    """
    check_ks(ks)
    images = np.asarray(pairs["image_embedding"], "float32")
    texts = np.asarray(pairs["text_embedding"], "float32")
    if image_of_text is None:
        image_of_text = np.arange(len(texts))
    image_of_text = np.asarray(image_of_text)
    check_rows(images, texts, image_of_text)
    of_images = np.full(len(images), len(texts))
    of_texts = ranks(texts, images, image_of_text, np.arange(len(images)))
    for row, own_text_ranks in own_ranks(images, texts, image_of_text):
        np.minimum.at(of_images, row, own_text_ranks)
    return {
        f"{name}_recall@{k}": float(np.mean(found < k))
        for k in ks
        for name, found in (
            ("image_to_text", of_images),
            ("text_to_image", of_texts),
        )
    }


def check_ks(ks):
    """Raise unless `ks` are ranks, of which the first is 1."""
    are_ranks = isinstance(ks, Iterable) and all(
        isinstance(k, Integral) and k >= 1 for k in ks
    )
    if not are_ranks:
        raise ValueError(
            "`ks` must be a sequence of ints of at least 1, such as (1, 5): "
            f"the recall at each is reported. Received: ks={ks}"
        )


def check_rows(images, texts, image_of_text):
    """Raise unless each image has a text, and each text an image."""
    if len(image_of_text) != len(texts) or set(image_of_text.tolist()) != set(
        range(len(images))
    ):
        raise ValueError(
            "Every text must belong to an image, and every image must have a "
            f"text. Received: {len(images)} images, {len(texts)} texts, and "
            f"`image_of_text` of shape {image_of_text.shape}. Pass "
            "`image_of_text` where images have several texts."
        )
    if not len(images):
        raise ValueError(
            "Recall is a mean over a test set, of which at least one image "
            "and its text are expected. Received: `image_embedding` of shape "
            f"{images.shape} and `text_embedding` of shape {texts.shape}."
        )


def ranks(queries, candidates, own, image_of):
    """How many candidates are at least as similar as the own one.

    Args:
        queries: array `(n, d)`.
        candidates: array `(m, d)`.
        own: int array `(n,)`, the row of each query's own candidate.
        image_of: int array `(m,)`, the image of each candidate. Those of the
            own one's image do not count.
    """
    found = []
    for start in range(0, len(queries), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        similarity = queries[rows] @ candidates.T
        own_similarity = np.take_along_axis(similarity, own[rows, None], 1)
        is_other = image_of != image_of[own[rows], None]
        is_ahead = ~(similarity < own_similarity) & is_other
        found.append(np.sum(is_ahead, axis=1))
    return np.concatenate(found)


def own_ranks(images, texts, image_of_text):
    """Image rows, and the ranks of one of their texts after the other.

    The best of an image's texts counts, and none of them is in its way.
    """
    for start in range(0, len(texts), ROWS_AT_A_TIME):
        own = np.arange(start, min(start + ROWS_AT_A_TIME, len(texts)))
        rows = image_of_text[own]
        yield rows, ranks(images[rows], texts, own, image_of_text)
