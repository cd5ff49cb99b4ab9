import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_jest.data import key_to_hex
from keras_jest.data import record_key

pytestmark = pytest.mark.once


@given(st.text(), st.text())
def test_keys_are_the_digest_of_the_name(key, shard):
    found = record_key(key, shard)
    assert found.shape == (4,) and found.dtype == "int32"
    name = f"{shard}/{key}" if shard else key
    name = name.encode("utf-8", "backslashreplace")
    expected = hashlib.blake2b(name, digest_size=16).hexdigest()
    assert key_to_hex(found) == expected
    # As it comes back from a batch on a backend, or from parquet.
    assert key_to_hex([int(number) for number in found]) == expected


def test_keys_do_not_change_between_versions():
    np.testing.assert_array_equal(
        record_key("cat"), [683811139, -212965156, 1625022991, 1560312849]
    )


def test_many_keys_are_not_one():
    keys = np.zeros((3, 4), "int32")
    with pytest.raises(ValueError, match=r"for key in keys.*\(3, 4\)"):
        key_to_hex(keys)
    with pytest.raises(ValueError, match="float"):
        key_to_hex(np.zeros(4))
