import unicodedata

import numpy as np
import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st
from tar_writer import picture
from tar_writer import write_tar

from keras_jest.data import TarShards
from keras_jest.data import Tokenizer
from keras_jest.data import load_arrays
from keras_jest.data.caption import is_blank
from keras_jest.data.caption import read_caption

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:TarShards skips"),
]

AROUND = st.text(" \t\r\n\0\ufeff\u200b\u2060\xa0\u3000", max_size=6)
WORDS = st.from_regex(r"\A[a-zé猫🐈](\w| |\u200d)*[a-zé猫🐈]\Z")
# A flag of tags, a heart with a variation selector: they end invisibly.
EMOJI = ("\U0001f3f4\U000e0067\U000e0062\U000e007f", "\u2764\ufe0f", "نص\u200f")


@given(AROUND, WORDS | st.sampled_from(EMOJI), AROUND)
@example("\ufeff", "a cat", "")
def test_what_stands_around_a_text_is_not_part_of_it(before, words, after):
    text = read_caption((before + words + after).encode())
    assert text == words and not is_blank(text)


@given(
    st.text(
        st.characters(categories=["Cc", "Cf", "Zs", "Zl", "Zp"])
        | st.sampled_from("\u3164\u115f\u2800\ufe0f\u034f\U000e0100")
    )
)
def test_texts_that_show_nothing_are_blank(text):
    assert is_blank(text)
    assert not is_blank(text + "ß") and not is_blank("!" + text)


def test_nothing_that_is_drawn_is_blank():
    """All letters, numbers, punctuation and symbols but some fillers."""
    drawn = [
        character
        for character in map(chr, range(0x110000))
        if unicodedata.category(character)[0] in "LNPS"
    ]
    fillers = [character for character in drawn if is_blank(character)]
    assert fillers == ["\u115f", "\u1160", "\u2800", "\u3164", "\uffa0"]


@pytest.mark.parametrize(
    "data, kind",
    [
        (b"\xef\xbb\xbf", "empty_caption"),
        (b"\0\0\0", "empty_caption"),
        ("\u200b \ufeff\u200d".encode(), "empty_caption"),
        ("a cat".encode("utf-16"), "caption_not_utf8"),
        ("a cat".encode("utf-16-le"), "caption_not_utf8"),
        ("a cat".encode("utf-16-be"), "caption_not_utf8"),
        ("a cat".encode("utf-32"), "caption_not_utf8"),
    ],
)
def test_captions_without_text_are_named(tmp_path, data, kind):
    members = [("a.png", picture()), ("a.txt", data)]
    path = write_tar(tmp_path / "x.tar", members)
    records = TarShards(path, max_bad_share=1.0, verbose=0)
    assert records.bad_counts == {kind: 1}


def test_a_byte_order_mark_reaches_no_tokenizer(tmp_path):
    members = [
        ("a.png", picture()),
        ("a.txt", b"\xef\xbb\xbfa cat\r\n"),
        ("a.json", b'\xef\xbb\xbf{"n": 1}'),
    ]
    path = write_tar(tmp_path / "x.tar", members)
    records = TarShards(path, max_bad_share=0.0, verbose=0)
    assert records[0]["text"] == "a cat" and records[0]["json"] == {"n": 1}
    tokenizer = Tokenizer.train(["a cat"], sequence_length=8)
    own = [records[0] | {"text": "\ufeffa cat"}, records[0]]
    rows = load_arrays(own, tokenizer, image_size=4, verbose=0)["token_ids"]
    np.testing.assert_array_equal(rows, tokenizer(["a cat", "a cat"]))
