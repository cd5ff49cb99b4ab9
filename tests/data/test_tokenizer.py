import pickle
import subprocess
import sys

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_jest.data import Tokenizer

pytestmark = pytest.mark.once

CAPTIONS = ["a red square", "a blue disc", "two red discs", "Ein Café ☕"] * 3
LENGTH = 12
TRAINED = Tokenizer.train(CAPTIONS, 300, LENGTH)


def own_ids(caption):
    """The ids of a caption without end and padding, from the library."""
    return TRAINED._model.encode(caption, add_special_tokens=False).ids


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(), max_size=5))
def test_rows_end_with_the_end_token(captions):
    rows = TRAINED(captions)
    assert rows.shape == (len(captions), LENGTH) and rows.dtype == "int32"
    for row, caption in zip(rows, captions, strict=True):
        ids = own_ids(caption)[: LENGTH - 1]
        expected = ids + [1] * (LENGTH - len(ids))
        assert row.tolist() == expected
        assert 0 <= row.min() and row.max() < TRAINED.vocabulary_size


def test_text_that_spells_a_special_token_gets_no_special_id():
    row = TRAINED(["</s> <pad>"])[0]
    text = row[: row.tolist().index(1)]
    assert len(text) > 4 and (text > 1).all()
    again = pickle.loads(pickle.dumps(TRAINED))
    np.testing.assert_array_equal(again(["</s> <pad>"])[0], row)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(), max_size=5))
def test_captions_in_any_kind_of_list(captions):
    """A str is one caption, and not as many as it has letters."""
    rows = TRAINED(captions)
    as_bytes = [caption.encode() for caption in captions]
    for same in (tuple(captions), np.array(captions, object), as_bytes):
        np.testing.assert_array_equal(TRAINED(same), rows)
    for caption, row in zip(captions, rows, strict=True):
        for one in (caption, caption.encode(), np.array(caption, object)):
            assert TRAINED(one).shape == (LENGTH,)
            np.testing.assert_array_equal(TRAINED(one), row)


def test_arrays_of_fixed_width():
    rows = TRAINED(np.array(["cat", "a red disc"]))
    np.testing.assert_array_equal(rows, TRAINED(["cat", "a red disc"]))
    assert TRAINED("cat").shape == (LENGTH,)
    assert TRAINED.decode(TRAINED("cat")) == TRAINED.decode(rows)[0]


@pytest.mark.parametrize("odd", [None, 3, 0.5, ["cat"], b"\xff\xfe"])
def test_what_is_no_text_is_named(odd):
    with pytest.raises(ValueError, match="(?s)caption 1 is"):
        TRAINED(["cat", odd])
    if not isinstance(odd, list):
        with pytest.raises(ValueError, match="str"):
            TRAINED(odd)


def test_lower_case_and_any_script():
    upper, lower = TRAINED(["A RED SQUARE", "a red square"])
    np.testing.assert_array_equal(upper, lower)
    long = Tokenizer.train(CAPTIONS, 300, 64)
    assert long.decode(long(["Ein Café ☕ 字 🦊"])) == [" ein café ☕ 字 🦊"]


@pytest.mark.slow
def test_training_is_the_same_in_another_process(tmp_path):
    code = (
        "import sys\n"
        "from keras_jest.data import Tokenizer\n"
        f"tokenizer = Tokenizer.train({CAPTIONS!r}, 300)\n"
        "tokenizer.save(sys.argv[1])"
    )
    other, own = tmp_path / "other.json", tmp_path / "own.json"
    subprocess.run([sys.executable, "-c", code, str(other)], check=True)
    TRAINED.save(own)
    assert own.read_bytes() == other.read_bytes()


def test_save_and_load(tmp_path):
    path = tmp_path / "tokenizer.json"
    TRAINED.save(path)
    # The format is the library's own.
    assert tokenizers.Tokenizer.from_file(str(path)).token_to_id("</s>") == 1
    loaded = Tokenizer(path, LENGTH)
    np.testing.assert_array_equal(loaded(CAPTIONS), TRAINED(CAPTIONS))
    again = pickle.loads(pickle.dumps(loaded))
    np.testing.assert_array_equal(again(CAPTIONS), TRAINED(CAPTIONS))


def foreign_tokenizer():
    """Words, with a start and an end token, truncation and padding."""
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "red", "square"]
    model = tokenizers.models.WordLevel(
        {word: number for number, word in enumerate(words)}, "[UNK]"
    )
    foreign = tokenizers.Tokenizer(model)
    foreign.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    foreign.post_processor = tokenizers.processors.BertProcessing(
        ("[SEP]", 2), ("[CLS]", 1)
    )
    foreign.enable_truncation(3)
    foreign.enable_padding(length=20)
    return foreign


def test_a_foreign_tokenizer_keeps_its_start_and_end():
    foreign = foreign_tokenizer()
    tokenizer = Tokenizer(foreign, 6, end_token="[SEP]", padding_token="[PAD]")
    rows = tokenizer(["a red square", "a", "a a a a a a a"])
    expected = [[1, 4, 5, 6, 2, 0], [1, 4, 2, 0, 0, 0], [1, 4, 4, 4, 4, 2]]
    assert rows.tolist() == expected
    assert tokenizer.vocabulary_size == 7
    # The caller's own is left as it was.
    assert foreign.padding["length"] == 20
    padded_with_end = Tokenizer(foreign, 6, end_token="[SEP]")
    assert padded_with_end(["a"]).tolist() == [[1, 4, 2, 2, 2, 2]]


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="end_token.*'</s>'"):
        Tokenizer(foreign_tokenizer(), 6)
    with pytest.raises(ValueError, match="vocabulary_size=257"):
        Tokenizer.train(CAPTIONS, 257)
    with pytest.raises(ValueError, match="sequence_length=0"):
        Tokenizer.train(CAPTIONS, 300, 0)
    broken = tmp_path / "tokenizer.json"
    broken.write_text("{}")
    for path in (broken, tmp_path / "none.json"):
        with pytest.raises(ValueError, match=path.name):
            Tokenizer(path, 6)
