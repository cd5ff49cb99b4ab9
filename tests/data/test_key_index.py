import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_jest.data.key_index import MULTIPLIER
from keras_jest.data.key_index import KeyIndex
from keras_jest.data.key_index import as_numbers

pytestmark = pytest.mark.once
# Few values, so that keys share parts and repeat.
NUMBERS = st.sampled_from([-(2**31), -1, 0, 1, 2**31 - 1])
KEYS = st.lists(st.tuples(*[NUMBERS] * 4), max_size=30)


def as_keys(keys):
    return np.array(keys, "int32").reshape(-1, 4)


@settings(max_examples=200, deadline=None)
@given(KEYS, KEYS)
def test_keys_are_found_as_in_a_dictionary(keys, others):
    keys = list(dict.fromkeys(keys))
    row_of = {key: row for row, key in enumerate(keys)}
    index = KeyIndex.from_keys(as_keys(keys))
    asked = keys + others
    expected = [row_of.get(key, -1) for key in asked]
    assert index.find(as_keys(asked)).tolist() == expected
    assert len(index.duplicates()) == 0


@settings(max_examples=100, deadline=None)
@given(KEYS)
def test_duplicates_are_those_of_a_dictionary(keys):
    pairs = KeyIndex.from_keys(as_keys(keys)).duplicates()
    assert len(pairs) == len(keys) - len(set(keys))
    for first, second in pairs:
        assert first < second and keys[first] == keys[second]


def test_keys_of_one_first_number_are_told_apart():
    """They are searched for among their like; blake2b makes none."""
    second = np.arange(50, dtype="uint64")
    inverse = np.uint64(pow(int(MULTIPLIER), -1, 2**64))
    first = (np.uint64(7) - second) * inverse
    halves = np.ascontiguousarray(np.stack([first, second], axis=1), "<u8")
    keys = halves.view("<i4").astype("int32")
    assert np.all(as_numbers(keys)[0] == 7)
    order = np.random.default_rng(0).permutation(50)
    index = KeyIndex.from_keys(keys[order[:40]])
    expected = np.full(50, -1)
    expected[order[:40]] = np.arange(40)
    assert index.find(keys).tolist() == expected.tolist()
