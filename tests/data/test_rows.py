"""What one run chose filters the records of another, or is their order."""

import keras
import numpy as np
import pytest
from tar_writer import sample
from tar_writer import write_tar
from tiny_encoder import make_encoder

from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest.callbacks import SelectionLog
from keras_jest.data import TarShards
from keras_jest.data import Tokenizer
from keras_jest.data import load_arrays
from keras_jest.data import recorded_rows
from keras_jest.data import super_batches
from keras_jest.losses import SigmoidContrastiveLoss

TOKENIZER = Tokenizer.train([f"caption {i}" for i in range(24)], 300, 8)


@pytest.fixture
def shards(tmp_path):
    members = [member for i in range(24) for member in sample(i)]
    write_tar(tmp_path / "0.tar", members)
    return TarShards([tmp_path / "0.tar"], verbose=0)


def batches(shards, batch_size, **kwargs):
    return super_batches(shards, TOKENIZER, 6, batch_size, **kwargs)


def test_a_run_is_replayed_from_shards(shards, tmp_path):
    pytest.importorskip("pyarrow")
    keras.utils.set_random_seed(0)
    model = JESTModel(make_encoder(300), make_encoder(300), seed=0)
    again = JESTModel(make_encoder(300), seed=0)
    again.learner.set_weights(model.learner.get_weights())
    policy = IndependentSelection(sub_batch_size=3)
    for each, selection in ((model, policy), (again, None)):
        each.compile(
            keras.optimizers.SGD(0.1),
            loss=SigmoidContrastiveLoss(),
            selection=selection,
        )
    log = SelectionLog(tmp_path / "picks.parquet")
    dataset = batches(shards, 8, num_epochs=2)
    model.fit(dataset, verbose=0, callbacks=[log])
    steps = recorded_rows(log.path, shards.keys)
    assert [len(rows) for rows in steps] == [3] * 6
    chosen = batches(
        shards, 3, rows=np.concatenate(steps), shuffle=False, num_epochs=1
    )
    again.fit(chosen, verbose=0)
    pairs = zip(
        again.learner.get_weights(), model.learner.get_weights(), strict=True
    )
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


def test_a_subset_alone_is_yielded(shards):
    subset = [2, 5, 7, 11, 23]
    seen = np.concatenate(
        [
            batch["key"]
            for batch in batches(shards, 2, rows=subset, num_epochs=3, seed=1)
        ]
    )
    assert len(seen) == 15
    expected = sorted(3 * shards.keys[subset].tolist())
    assert sorted(seen.tolist()) == expected


@pytest.mark.parametrize("rows", [[0, 24], [-1]])
def test_rows_that_are_not_there(shards, rows):
    with pytest.raises(ValueError, match="0 to 23.*1 others"):
        batches(shards, 2, rows=rows)


def test_no_rows(shards):
    with pytest.raises(ValueError, match="at least one record"):
        batches(shards, 2, rows=[])


def test_a_mask_is_no_rows(shards):
    """It would be read as the rows 0 and 1, over and over."""
    with pytest.raises(ValueError, match="flatnonzero.*dtype bool"):
        batches(shards, 4, rows=np.arange(24) < 12)


def test_arrays_of_some_rows(shards):
    every = load_arrays(shards, TOKENIZER, 6, verbose=0)
    rows = [17, 3, 3]
    some = load_arrays(shards, TOKENIZER, 6, verbose=0, rows=rows)
    for name, values in every.items():
        np.testing.assert_array_equal(some[name], values[rows])


@pytest.mark.parametrize(
    "rows, match",
    [
        ([24], "from 0 to 23"),
        ([True, False], "flatnonzero"),
        ([], "one record"),
    ],
)
def test_rows_that_are_none(shards, rows, match):
    with pytest.raises(ValueError, match=match):
        load_arrays(shards, TOKENIZER, 6, verbose=0, rows=rows)
