"""Tokenizers of other libraries: rows of one length, or a refusal."""

import collections.abc
import functools
import threading

import numpy as np

from keras_jest.data.as_captions import as_captions
from keras_jest.data.tokenizer import Tokenizer

IDS = ("token_ids", "input_ids")
LONGEST = 100_000  # transformers' `model_max_length` where it knows none.


def checked_tokenizer(tokenizer, records):
    """Return a function from `n` captions to int32 ids `(n, length)`.

    A tokenizer is tried on two captions before it is used on any: given as
    a list; then as transformers', which pads if told so; then as a
    preprocessor of keras-hub's for pictures and texts; then one caption at a
    time. The first way that gives a row per caption, all of one length, is
    taken from then on.

    Args:
        tokenizer: `keras_jest.data.Tokenizer`, which is returned as it is,
            or a callable of any library.
        records: sequence of dicts with `"text"`. The captions to try are
            made of the words of the first.

    Returns:
        `Tokenizer`, or a callable that can be pickled if the tokenizer can.

    Raises:
        ValueError: It is not callable, or gives no such rows in any way.
    """
    if isinstance(tokenizer, Tokenizer):
        return tokenizer
    check_callable(tokenizer)
    probes = make_probes(records[0]["text"])
    failures = []
    for way in WAYS:
        try:
            length = try_out(functools.partial(way, tokenizer), probes)
        except Exception as error:  # Anything, of any library.
            failures.append(error)
        else:
            return CheckedTokenizer(tokenizer, way, length)
    # What it gave tells more than what it cannot take.
    failure = min(failures, key=lambda of: not isinstance(of, NotRows))
    raise refusal(tokenizer, failure) from failure


class CheckedTokenizer:
    """Calls a tokenizer in the way that works, and checks each row.

    Under a lock: those of transformers fail in one thread while they run in
    another.
    """

    def __init__(self, tokenizer, way, length):
        self.tokenizer, self.way, self.length = tokenizer, way, length
        self.lock = threading.Lock()

    def __call__(self, captions):
        captions = as_captions(captions)
        try:
            with self.lock:
                output = self.way(self.tokenizer, captions)
            rows = to_rows(output, len(captions))
            if rows.shape[1] != self.length:
                raise other_length(rows, self.length)
        except NotRows as failure:
            raise refusal(self.tokenizer, failure) from failure
        return rows

    def __getstate__(self):
        return (self.tokenizer, self.way, self.length)

    def __setstate__(self, state):
        self.__init__(*state)


class NotRows(ValueError):
    """What a tokenizer gave is no array of rows of ids."""


def of_list(tokenizer, captions):
    return tokenizer(captions)


def of_transformers(tokenizer, captions):
    """As SigLIP and CLIP are trained: padded to what the model reads."""
    length = tokenizer.model_max_length
    if length > LONGEST:
        raise NotRows("rows as long as their captions, and no maximum")
    return tokenizer(
        captions, padding="max_length", truncation=True, max_length=length
    )


def of_hub_preprocessor(preprocessor, captions):
    return preprocessor({"images": None, "prompts": captions})


def one_by_one(tokenizer, captions):
    return [to_array(tokenizer(caption)) for caption in captions]


WAYS = (of_list, of_transformers, of_hub_preprocessor, one_by_one)


def make_probes(text):
    """Two captions, one longer than the other, of the words of a text."""
    words = text.split() if isinstance(text, str) else []
    return (words or ["cat"])[0], " ".join(2 * (words or ["a", "cat"]))


def try_out(tokenize, probes):
    """Return the length of a tokenizer's rows, or raise `NotRows`.

    Three captions or one: only what is not transposed has a row for each,
    and only what is not padded to the longest of a call has one length.
    """
    short, long = probes
    first = to_rows(tokenize([short, long, short]), 3)
    for probe in probes:
        rows = to_rows(tokenize([probe]), 1)
        if rows.shape[1] != first.shape[1]:
            raise other_length(rows, first.shape[1])
    return first.shape[1]


def to_rows(output, num_captions):
    """Return what a tokenizer gave as int32 rows, or raise `NotRows`."""
    rows = to_array(output)
    if rows.dtype == object or rows.ndim != 2 or len(rows) != num_captions:
        raise NotRows(
            f"{rows.dtype} of shape {rows.shape} for {num_captions} captions"
        )
    if not np.issubdtype(rows.dtype, np.integer) or rows.shape[1] == 0:
        raise NotRows(f"{rows.dtype} of shape {rows.shape}")
    limits = np.iinfo("int32")
    if rows.min() < limits.min or rows.max() > limits.max:
        raise NotRows(f"ids beyond int32, such as {np.abs(rows).max()}")
    return rows.astype("int32")


def to_array(output):
    """Return ids of any library as an array."""
    if isinstance(output, collections.abc.Mapping):
        names = [name for name in IDS if name in output]
        if not names:
            raise NotRows(f"a dict of {sorted(output)} without {IDS}")
        output = output[names[0]]
    if hasattr(output, "ids"):  # Of tokenizers.
        output = output.ids
    if isinstance(output, list) and output and hasattr(output[0], "ids"):
        output = [encoding.ids for encoding in output]
    if hasattr(output, "detach"):  # Of torch, perhaps on a device.
        output = output.detach().cpu()
    if hasattr(output, "numpy"):  # Of TensorFlow, perhaps ragged.
        output = output.numpy()
    try:
        rows = np.asarray(output)
        # An array of arrays is stacked.
        return np.asarray(rows.tolist()) if rows.dtype == object else rows
    except ValueError as error:
        raise NotRows("rows of different lengths") from error


def other_length(rows, length):
    return NotRows(
        f"rows of {length} ids in one call and of {rows.shape[1]} in another"
    )


def check_callable(tokenizer):
    """Raise unless a tokenizer can be called."""
    if not callable(tokenizer):
        raise refusal(tokenizer, "an object that cannot be called")


def refusal(tokenizer, failure):
    """The error that says what a tokenizer must give, and what it gave."""
    name = getattr(tokenizer, "__name__", type(tokenizer).__name__)
    if isinstance(failure, Exception) and not isinstance(failure, NotRows):
        failure = f"{type(failure).__name__}: {failure}"
    return ValueError(
        f"The tokenizer {name} must turn a list of `n` captions into int "
        "token ids of shape (n, length), the same length in each call. "
        f"Received: {failure}. A `tokenizers.Tokenizer` goes into "
        "`keras_jest.data.Tokenizer(tokenizer, sequence_length=64)`; one of "
        "keras-hub needs its `sequence_length`; one of transformers "
        "`functools.partial(tokenizer, padding='max_length', max_length=64, "
        "truncation=True)`; any other a function that pads and cuts."
    )
