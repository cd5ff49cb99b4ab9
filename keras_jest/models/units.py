"""In which units the numbers of a batch are, as far as they tell."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

STRIP = 256  # Pictures that are looked at closely at a time.
MOST_OF_READY_PICTURES = 25.0
EXACT_UP_TO = {"bfloat16": 2**8, "float16": 2**11}


class TokenIds(NamedTuple):
    """Rows of a table of embeddings.

    Args:
        vocabulary_size: int. The number of rows.
        dtype: str. What the layer with the table computes in: Keras casts
            ids to it that come as floats.
    """

    vocabulary_size: int
    dtype: str = "float32"

    def check(self, ids, name):
        """Raise unless all of `ids` are rows of the table."""
        low, high = bounds(ids)
        if low < 0 or high >= self.vocabulary_size:
            outside = low if low < 0 else high
            raise ValueError(
                f"Token ids must be from 0 to {self.vocabulary_size - 1}, the "
                f"rows of the embedding that reads {name}. Received: token id "
                f"{outside:.0f}, vocabulary_size={self.vocabulary_size}. Make "
                "the text tower with the `vocabulary_size` of the tokenizer, "
                "or tokenize with the tokenizer that it was trained with."
            )
        if not is_float(ids):
            return
        is_rounded = high > EXACT_UP_TO.get(self.dtype, high)
        if is_rounded or has_fractions(ids):
            raise ValueError(
                f"Token ids must be whole numbers, and {name} would be "
                f"rounded to others. Received: {dtype_of(ids)} up to "
                f"{high:g}, for an embedding in {self.dtype}. Let the "
                "tokenizer return int32."
            )


class RescaledPictures(NamedTuple):
    """Pictures from 0 to 255, which the model rescales itself.

    Args:
        by: str. What rescales them.
    """

    by: str

    def check(self, pictures, name):
        """Raise if floats were surely rescaled before.

        Integers never were. A batch of floats that are all whole may be
        dark, or black; between -4 and 4 there is no other batch of floats
        from 0 to 255 to speak of.
        """
        if not is_float(pictures):
            return
        low, high = bounds(pictures)
        is_normalized = -4 <= low < -0.5 and high <= 4
        is_unit = -1.5 <= low and high <= 1.5
        if (is_normalized or is_unit) and has_fractions(pictures):
            raise ValueError(
                f"Pictures must be from 0 to 255, uint8 or float: {self.by} "
                f"rescales {name}, and twice rescaled they all look the same "
                f"to it. Received: {dtype_of(pictures)} from {low:.4g} to "
                f"{high:.4g}. Leave out the rescaling of the dataset, or that "
                "of the model."
            )


class ReadyPictures(NamedTuple):
    """Integer pictures from 0 to 255, or floats that need no rescaling.

    Args:
        by: str. What rescales integers and leaves floats alone.
    """

    by: str

    def check(self, pictures, name):
        """Raise if floats were surely not rescaled."""
        if not is_float(pictures):
            return
        low, high = bounds(pictures)
        if max(-low, high) > MOST_OF_READY_PICTURES:
            raise ValueError(
                f"{self.by} takes float pictures as an image converter makes "
                f"them, and rescales integers alone. Received: {name} of "
                f"{dtype_of(pictures)} from {low:.4g} to {high:.4g}. Give "
                "pictures from 0 to 255 as uint8, or rescale them."
            )


def bounds(array):
    """The least and the greatest finite number, 0 and 0 if there is none."""
    if 0 in array.shape:
        return 0.0, 0.0
    lowest, highest = (
        float(f(array)) for f in (library(array).min, library(array).max)
    )
    if np.isfinite(lowest) and np.isfinite(highest):
        return lowest, highest
    return bounds(finite(array))


def finite(array):
    """The same numbers with zeros in the place of NaN and infinities."""
    of = library(array)
    return of.where(of.isfinite(array), array, of.zeros_like(array))


def has_fractions(array):
    """Whether a finite number is not whole; stops where it finds one."""
    of = library(array)
    for first in range(0, array.shape[0], STRIP):
        strip = finite(array[first : first + STRIP])
        if bool(of.any(of.not_equal(of.floor(strip), strip))):
            return True
    return False


def library(array):
    """NumPy for its arrays, which need not go to a device."""
    return np if isinstance(array, np.ndarray) else ops


def is_float(array):
    return keras.backend.is_float_dtype(dtype_of(array))


def dtype_of(array):
    return keras.backend.standardize_dtype(array.dtype)
