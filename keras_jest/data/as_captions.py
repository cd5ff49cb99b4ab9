"""Captions as people give them: lists, arrays, bytes."""

import numpy as np


def as_captions(captions):
    """Return captions as a list of str.

    Args:
        captions: list, tuple or array of str, or of UTF-8 bytes.

    Returns:
        A list of str.

    Raises:
        ValueError: One of them is no text; it is named.
    """
    if hasattr(captions, "tolist"):  # Of NumPy or pandas.
        captions = captions.tolist()
    if not isinstance(captions, list | tuple):
        raise ValueError(
            "Expected a list of captions, or one as a str. Received: "
            f"{captions!r} of type {type(captions).__name__}"
        )
    return [as_caption(*item) for item in enumerate(captions)]


def as_caption(number, caption):
    """Return the caption at a place in a list as a str."""
    if isinstance(caption, str):
        return caption
    if isinstance(caption, bytes):
        try:
            return caption.decode()
        except UnicodeDecodeError as error:
            raise ValueError(
                "Expected captions as str, or as bytes of UTF-8. Received: "
                f"caption {number} is {caption[:40]!r} ({error})"
            ) from error
    raise ValueError(
        "Expected captions as str, or as bytes of UTF-8. Received: caption "
        f"{number} is {caption!r} of type {type(caption).__name__}"
    )


def is_one_caption(captions):
    """Whether this is a text, and no list of texts."""
    return isinstance(captions, str | bytes) or (
        isinstance(captions, np.ndarray) and captions.ndim == 0
    )
