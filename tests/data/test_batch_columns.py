"""Arrays with a row for each record, as entries of super-batches."""

import itertools
import json
import pathlib
import sys

import keras
import numpy as np
import pytest
from tar_writer import picture
from tar_writer import sample
from tar_writer import write_tar
from tiny_encoder import make_encoder

sys.path.append(str(pathlib.Path(__file__).parents[1] / "callbacks"))

from resumable_run import Stop

from keras_jest import ConceptBalance
from keras_jest import JESTModel
from keras_jest.callbacks import BackupAndRestore
from keras_jest.data import TarShards
from keras_jest.data import Tokenizer
from keras_jest.data import record_key
from keras_jest.data import super_batches
from keras_jest.data.batch_columns import checked_columns
from keras_jest.losses import SigmoidContrastiveLoss

NUM_RECORDS = 45
ROWS = np.arange(NUM_RECORDS)
RECORDS = [
    {"image": picture(i), "text": f"caption {i}", "key": str(i)} for i in ROWS
]
TOKENIZER = Tokenizer.train([r["text"] for r in RECORDS], 300, 8)
COLUMNS = {
    "concepts": np.stack([ROWS**2 % 7, np.where(ROWS % 3, -1, ROWS % 5)], 1),
    "weight": np.cos(ROWS).astype("float32"),
    "is_drawn": ROWS % 4 == 0,
}
NUMBERS = {record_key(of["key"]).tobytes(): i for i, of in enumerate(RECORDS)}


def batches(batch_size=10, columns=COLUMNS, records=RECORDS, **arguments):
    arguments = {"num_epochs": 1, "columns": columns, **arguments}
    return super_batches(records, TOKENIZER, 6, batch_size, **arguments)


def assert_own_lines(some):
    """Each row of batches has the values of its record, found by its key."""
    for batch in some:
        rows = [NUMBERS[key.tobytes()] for key in batch["key"]]
        for name, column in COLUMNS.items():
            assert batch[name].dtype == column.dtype
            np.testing.assert_array_equal(batch[name], column[rows])


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"shuffle": False, "batch_size": 1},
        {"batch_size": 100, "num_epochs": 3},
        {"rows": [40, 2, 2, 17, 44, 0], "batch_size": 4},
        {"records": tuple(RECORDS), "drop_remainder": True},
    ],
)
def test_a_record_brings_its_row_of_each_array(arguments):
    with_columns = list(batches(**arguments))
    assert_own_lines(with_columns)
    without = batches(**arguments, columns=None)
    for one, other in zip(with_columns, without, strict=True):
        assert one.keys() == other.keys() | COLUMNS.keys()
        for name in other:
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.once
def test_worker_processes_bring_them_too(tmp_path):
    members = [member for number in range(20) for member in sample(number)]
    write_tar(tmp_path / "x.tar", members)
    records = TarShards(tmp_path, verbose=0)
    columns = {"number": np.arange(20)}
    alone = list(batches(6, columns, records, seed=5))
    iterator = iter(batches(6, columns, records, seed=5, num_workers=2))
    for batch, same in zip(iterator, alone, strict=True):
        np.testing.assert_array_equal(batch["number"], same["number"])
        keys = records.keys[batch["number"]]
        np.testing.assert_array_equal(batch["key"], keys)
    iterator.close()


def test_they_go_on_from_a_state():
    first = iter(batches(10, num_epochs=2))
    list(itertools.islice(first, 3))
    later = iter(batches(7, num_epochs=2))
    later.set_state(json.loads(json.dumps(first.get_state())))
    rest = list(later)
    assert sum(len(batch["weight"]) for batch in rest) == 60
    assert_own_lines(rest)


def make_model():
    """It keeps all rows, so that what it counts is known."""
    policy = ConceptBalance(7, filter_ratio=0.0, num_chunks=1)
    model = JESTModel(make_encoder(300), policy=policy, seed=0)
    model.compile("sgd", loss=SigmoidContrastiveLoss(), selection=policy)
    return model


def counts_of(model):
    return keras.ops.convert_to_numpy(model.policy.counts).tolist()


def counted(rows):
    """How often each concept is among those of some records."""
    sets = [set(COLUMNS["concepts"][row].tolist()) - {-1} for row in rows]
    every = list(itertools.chain.from_iterable(sets))
    return np.bincount(every, minlength=7).tolist()


def test_concepts_are_balanced_from_records():
    model, iterator = make_model(), iter(batches(15, num_epochs=None))
    fit = {"steps_per_epoch": 2, "verbose": 0}
    model.fit(iterator, **fit)
    assert sum(counts_of(model)) < sum(counted(ROWS))
    # The same iterator stands behind what was trained: these are the others.
    model.fit(iterator, steps_per_epoch=1, verbose=0)
    assert counts_of(model) == counted(ROWS)


def kill():
    raise KeyboardInterrupt


def test_a_run_that_was_stopped_goes_on(tmp_path):
    def fit(model, *others, **arguments):
        backup = BackupAndRestore(tmp_path / "backup", save_freq=1)
        model.fit(
            batches(15, **arguments), callbacks=[*others, backup], verbose=0
        )

    with pytest.raises(KeyboardInterrupt):
        fit(make_model(), Stop(2, kill))
    others = {**COLUMNS, "concepts": COLUMNS["concepts"][::-1]}
    with pytest.raises(ValueError, match="another run.*concepts"):
        fit(make_model(), columns=others)
    model = make_model()
    fit(model)
    assert counts_of(model) == counted(ROWS)


def test_a_fingerprint_tells_them_apart():
    plain = batches(columns=None).fingerprint()
    assert batches(columns={}).fingerprint() == plain
    prints = [
        batches(columns=of).fingerprint()
        for of in (COLUMNS, {"weight": ROWS}, {"size": ROWS}, {"size": -ROWS})
    ]
    assert prints[0] == batches(columns=dict(COLUMNS)).fingerprint()
    assert plain.items() < prints[0].items()
    assert len({json.dumps(of) for of in [plain, *prints]}) == 5


@pytest.mark.once
@pytest.mark.parametrize(
    "columns, message",
    [
        ({"concepts": ROWS[1:]}, r"row for each of the 45.*shape \(44,\)"),
        ({"concepts": 3}, r"row for each of the 45.*shape \(\)"),
        ({"key": ROWS}, "another name.*'key'"),
        ({"images": ROWS}, "another name.*'images'"),
        ({7: ROWS}, "Received: 7"),
        ({"text": ["a word"] * 45}, "'text' of dtype <U6"),
        ({"ragged": [[1], [1, 2]] + [[0]] * 43}, "'ragged' of dtype object"),
        (COLUMNS["concepts"], "a dict.*Received: .*ndarray"),
    ],
)
def test_columns_that_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        batches(columns=columns)


@pytest.mark.once
def test_a_store_has_names_of_its_own():
    columns = {"reference_loss": ROWS}
    assert checked_columns(columns, NUM_RECORDS, has_store=False)
    with pytest.raises(ValueError, match="another name.*'reference_loss'"):
        checked_columns(columns, NUM_RECORDS, has_store=True)
