"""A tokenizer of any library gives rows of one length, or is refused."""

import collections
import functools
import pickle
import sys

import keras
import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tar_writer import picture

from keras_jest.data import Tokenizer
from keras_jest.data import load_arrays
from keras_jest.data import super_batches
from keras_jest.data.checked_tokenizer import checked_tokenizer

CAPTIONS = ["a red square", "blue", "", "a a a a a a a a a red"]
RECORDS = [
    {"image": picture(i), "text": text, "key": str(i)}
    for i, text in enumerate(CAPTIONS)
]
WORDS = ["<pad>", "[UNK]", "a", "red", "square", "blue"]
LENGTH = 6


def ids_of(caption, length=LENGTH):
    """What all tokenizers here should give, by a dict."""
    if isinstance(caption, bytes):
        caption = caption.decode()
    ids = [WORDS.index(word) for word in caption.split()]
    if length is None:
        return ids
    return (ids + length * [0])[:length]


def rows_of(captions, length=LENGTH):
    if isinstance(captions, str):
        raise TypeError("a list, please")
    return [ids_of(caption, length) for caption in captions]


class Encoded(collections.UserDict):
    """As transformers return it."""


class TransformersTokenizer:
    """Takes what transformers' take, and is as useless by default."""

    model_max_length = LENGTH

    def __call__(self, text, padding=False, truncation=False, max_length=None):
        captions = [text] if isinstance(text, str) else text
        length = max_length if padding == "max_length" else None
        rows = [ids_of(caption, length) for caption in captions]
        mask = [[1] * len(row) for row in rows]
        rows = rows[0] if isinstance(text, str) else rows
        return Encoded({"input_ids": rows, "attention_mask": mask})


class Endless(TransformersTokenizer):
    model_max_length = int(1e30)


def of_tokenizers():
    words = {word: number for number, word in enumerate(WORDS)}
    model = tokenizers.models.WordLevel(words, "[UNK]")
    model = tokenizers.Tokenizer(model)
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return model


def padded():
    model = of_tokenizers()
    model.enable_padding(length=LENGTH)
    model.enable_truncation(LENGTH)
    return model


def hub_tokenizer(**kwargs):
    hub = pytest.importorskip("keras_hub")
    return hub.tokenizers.WordPieceTokenizer(
        vocabulary=["[PAD]", *WORDS[1:]], **kwargs
    )


def tensors(captions):
    return keras.ops.convert_to_tensor(rows_of(captions), "int32")


def of_tensorflow(captions):
    return pytest.importorskip("tensorflow").constant(rows_of(captions))


def of_torch(captions):
    return pytest.importorskip("torch").tensor(rows_of(captions))


WORK = {
    "lists": lambda: rows_of,
    "int64": lambda: lambda captions: np.array(rows_of(captions), "int64"),
    "arrays of arrays": lambda: (
        lambda captions: [np.array(row) for row in rows_of(captions)]
    ),
    "object arrays": lambda: (
        lambda captions: np.array([*rows_of(captions), None], object)[:-1]
    ),
    "this backend's tensors": lambda: tensors,
    "tensorflow's": lambda: of_tensorflow,
    "torch's": lambda: of_torch,
    "one at a time": lambda: ids_of,
    "one at a time, arrays": lambda: lambda text: np.array(ids_of(text)),
    "a dict": lambda: lambda captions: {"token_ids": rows_of(captions)},
    "transformers": TransformersTokenizer,
    "transformers, told": lambda: functools.partial(
        Endless(), padding="max_length", max_length=LENGTH, truncation=True
    ),
    "tokenizers, a list": lambda: padded().encode_batch,
    "tokenizers, one": lambda: padded().encode,
    "keras-hub": lambda: hub_tokenizer(sequence_length=LENGTH),
}
REFUSED = {
    "transposed": (
        lambda: lambda captions: np.transpose(rows_of(captions)),
        r"of shape \(6, 3\) for 3 captions",
    ),
    "ragged": (lambda: functools.partial(rows_of, length=None), "lengths"),
    "padded to the longest": (
        lambda: (
            lambda captions: rows_of(
                captions, max(len(text.split()) for text in captions)
            )
        ),
        "rows of 6 ids in one call and of 1 in another",
    ),
    "ragged ones of keras-hub": (hub_tokenizer, "lengths"),
    "transformers without a maximum": (Endless, "lengths"),
    "tokenizers": (padded, "cannot be called"),
    "floats": (lambda: lambda c: np.array(rows_of(c)) / 2, "float64"),
    "too few": (lambda: lambda c: rows_of(c)[:1], "for 3 captions"),
    "nothing": (lambda: lambda c: None, "object of shape"),
    "texts": (lambda: lambda c: [text.split() for text in c], "lengths"),
    "no ids": (lambda: lambda c: {"mask": rows_of(c)}, "mask"),
    "beyond int32": (
        lambda: lambda c: np.array(rows_of(c)) + 2**40,
        "beyond int32",
    ),
    "failing": (lambda: lambda c: 1 / 0, "ZeroDivisionError"),
}


def expected():
    return np.array([ids_of(caption) for caption in CAPTIONS], "int32")


@pytest.mark.parametrize("kind", WORK)
def test_any_callable_works(kind):
    tokenizer = WORK[kind]()
    arrays = load_arrays(RECORDS, tokenizer, 4, verbose=0)
    np.testing.assert_array_equal(arrays["token_ids"], expected())
    assert arrays["token_ids"].dtype == "int32"
    (batch,) = super_batches(RECORDS, tokenizer, 4, 9, False, num_epochs=1)
    np.testing.assert_array_equal(batch["token_ids"], expected())


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("load", [load_arrays, super_batches])
def test_others_are_refused_by_name_before_any_record(kind, load):
    make, text = REFUSED[kind]
    tokenizer = make()
    name = getattr(tokenizer, "__name__", type(tokenizer).__name__)
    records = [{**record, "image": b"none"} for record in RECORDS]
    text = f"(?s)^The tokenizer {name} must.*{text}.*sequence_length=64"
    with pytest.raises(ValueError, match=text):
        load(records, tokenizer, 4, 9)


@pytest.mark.once
@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 4),
    st.lists(st.sampled_from(CAPTIONS), min_size=1, max_size=4),
)
def test_transposition_is_found_whatever_the_sizes(length, captions):
    """Also where there are as many captions as ids in a row."""
    right = functools.partial(rows_of, length=length)
    rows = checked_tokenizer(right, RECORDS)(captions)
    np.testing.assert_array_equal(rows, right(captions))
    with pytest.raises(ValueError, match="of shape"):
        checked_tokenizer(lambda c: np.transpose(right(c)), RECORDS)


@pytest.mark.once
def test_a_tokenizer_that_changes_later_is_named():
    class Changes:
        length = LENGTH

        def __call__(self, captions):
            return rows_of(captions, self.length)

    tokenizer = Changes()
    dataset = super_batches(RECORDS, tokenizer, 4, 2)
    tokenizer.length = LENGTH + 1
    with pytest.raises(ValueError, match="The tokenizer Changes must.* of 7"):
        next(iter(dataset))


@pytest.mark.once
def test_it_travels_to_worker_processes():
    for kind in ("transformers", "transformers, told", "one at a time"):
        tokenizer = checked_tokenizer(WORK[kind](), RECORDS)
        again = pickle.loads(pickle.dumps(tokenizer))
        np.testing.assert_array_equal(again(CAPTIONS), expected())


@pytest.mark.once
def test_our_own_is_not_tried_out():
    tokenizer = Tokenizer.train(CAPTIONS, 300, 8)
    assert checked_tokenizer(tokenizer, None) is tokenizer


@pytest.mark.once
@pytest.mark.parametrize("text", [None, 7, b"\xff"])
@pytest.mark.parametrize(
    "tokenizer", [rows_of, Tokenizer.train(CAPTIONS, 300, 8)]
)
def test_a_caption_that_is_no_text_is_named(text, tokenizer):
    records = [RECORDS[0], {**RECORDS[1], "text": text, "key": "odd one"}]
    with pytest.raises(ValueError, match="(?s)record 'odd one'.*caption 0 is"):
        load_arrays(records, tokenizer, 4, verbose=0)


def clip_tokenizer():
    hub = pytest.importorskip("keras_hub")
    start, end = "<|startoftext|>", "<|endoftext|>"
    letters = [*"abderqsu", *(f"{of}</w>" for of in "abderqsu")]
    vocabulary = [*letters, "ab", start, end]
    return hub.models.CLIPTokenizer(
        {token: number for number, token in enumerate(vocabulary)}, ["a b"]
    )


@pytest.mark.skipif(
    sys.platform != "linux", reason="its text parts are for Linux"
)
def test_a_preprocessor_of_clip():
    hub = pytest.importorskip("keras_hub")
    tokenizer = clip_tokenizer()
    start, end = tokenizer.start_token_id, tokenizer.end_token_id
    preprocessor = hub.models.CLIPPreprocessor(tokenizer, sequence_length=8)
    arrays = load_arrays(RECORDS[:2], preprocessor, 4, verbose=0)
    rows = arrays["token_ids"]
    assert rows.shape == (2, 8) and rows.dtype == "int32"
    assert rows[:, 0].tolist() == [start, start]
    assert (rows == end).any(axis=1).all()
