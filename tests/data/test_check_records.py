"""What is no sequence of records is told how to become one."""

import numpy as np
import pytest
from tar_writer import picture

from keras_jest.data import Tokenizer
from keras_jest.data import load_arrays
from keras_jest.data import super_batches
from keras_jest.evaluation import selection_tables
from keras_jest.models import build_store

pytestmark = pytest.mark.once
TOKENIZER = Tokenizer.train(["a caption"], 300, 8)
RECORD = {"image": picture(), "text": "a", "key": "0"}


@pytest.mark.parametrize(
    "records, match",
    [
        ("a/folder", "CaptionedFolder.*'a/folder'"),
        (iter([RECORD]), "list_iterator, which is no sequence"),
        ({"images": np.zeros((2, 8, 8, 3))}, "a dict, which is no sequence"),
        (np.zeros((2, 8, 8, 3)), "a ndarray, of ndarray"),
        ([(picture(), "a")], "a list, of tuple"),
        ([{"image": picture(), "caption": "a"}], r"without \['text', 'key'\]"),
        ([{**RECORD, "image": "0.png"}], "a path, not its bytes"),
        ([{**RECORD, "image": np.zeros((8, 8, 3))}], "decoded already"),
    ],
)
def test_what_is_no_records(records, match):
    with pytest.raises(ValueError, match=match):
        super_batches(records, TOKENIZER, 8, 2)
    with pytest.raises(ValueError, match=match):
        load_arrays(records, TOKENIZER, 8)


def test_a_path_is_no_records(tmp_path):
    with pytest.raises(ValueError, match="not where they are"):
        build_store(tmp_path, None, "a/folder", TOKENIZER, 8)
    with pytest.raises(ValueError, match="not where they are"):
        selection_tables("picks.parquet", tmp_path)
