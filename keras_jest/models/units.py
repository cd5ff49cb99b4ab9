"""In which units the numbers of a batch are, as far as they tell."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

STRIP = 32  # Pictures that are looked at at a time.
MOST_OF_READY_PICTURES = 25.0
MOST_OF_TWICE_RESCALED = 4.0
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
        low, high = bounds(on_host(ids))
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

        Integers never were. Floats that are all whole may be those of dark
        pictures; but of other pictures from 0 to 255 there is hardly a batch
        that stays below 1.5, or below 4 with some numbers below 0.
        """
        low = high = 0.0
        for strip in float_strips(pictures):
            lowest, highest = bounds(strip)
            low, high = min(low, lowest), max(high, highest)
            if max(-low, high) > MOST_OF_TWICE_RESCALED:
                return  # As nearly always in the first strip.
        is_normalized = low < -0.5
        is_unit = high <= 1.5
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
        """Raise if floats were surely not rescaled: the first tell it."""
        first = next(float_strips(pictures), None)
        if first is None:
            return
        low, high = bounds(first)
        if max(-low, high) > MOST_OF_READY_PICTURES:
            raise ValueError(
                f"{self.by} takes float pictures as an image converter makes "
                f"them, and rescales integers alone. Received: {name} of "
                f"{dtype_of(pictures)} from {low:.4g} to {high:.4g}. Give "
                "pictures from 0 to 255 as uint8, or rescale them."
            )


def bounds(numbers):
    """The least and the greatest finite number, 0 and 0 if there is none."""
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return 0.0, 0.0
    return float(numbers.min()), float(numbers.max())


def has_fractions(array):
    """Whether a finite number is not whole; stops where it finds one."""
    for strip in float_strips(array):
        numbers = strip[np.isfinite(strip)]
        if np.any(np.floor(numbers) != numbers):
            return True
    return False


def float_strips(array):
    """Some rows at a time of an array of floats; nothing of other arrays."""
    if is_float(array):
        for first in range(0, array.shape[0], STRIP):
            yield on_host(array[first : first + STRIP])


def on_host(array):
    """The array as NumPy's: a program for a few numbers costs a second."""
    if isinstance(array, np.ndarray):
        return array
    return ops.convert_to_numpy(array)


def is_float(array):
    return keras.backend.is_float_dtype(dtype_of(array))


def dtype_of(array):
    return keras.backend.standardize_dtype(array.dtype)
