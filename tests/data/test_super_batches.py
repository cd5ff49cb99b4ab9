import itertools
import json

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tar_writer import picture
from tar_writer import sample
from tar_writer import write_tar

from keras_jest.data import TarShards
from keras_jest.data import Tokenizer
from keras_jest.data import decode_image
from keras_jest.data import load_arrays
from keras_jest.data import record_key
from keras_jest.data import super_batches

NUM_RECORDS = 77
RECORDS = [
    {"image": picture(i), "text": f"caption {i}", "key": str(i)}
    for i in range(NUM_RECORDS)
]
TOKENIZER = Tokenizer.train([r["text"] for r in RECORDS], 300, 8)


def batches(batch_size=10, num_epochs=1, records=RECORDS, **arguments):
    return super_batches(
        records, TOKENIZER, 6, batch_size, num_epochs=num_epochs, **arguments
    )


def keys_of(dataset):
    return [batch["key"].tobytes() for batch in dataset]


@pytest.mark.parametrize("batch_size", [1, 10, 40, 77, 100])
def test_batches_hold_the_records_in_order(batch_size):
    dataset = list(batches(batch_size, shuffle=False))
    full, rest = divmod(NUM_RECORDS, batch_size)
    sizes = [batch_size] * full + [rest] * (rest > 0)
    assert [len(batch["key"]) for batch in dataset] == sizes
    together = {
        name: np.concatenate([batch[name] for batch in dataset])
        for name in ("images", "token_ids", "key")
    }
    assert together["images"].dtype == "uint8"
    assert together["token_ids"].dtype == together["key"].dtype == "int32"
    for i, record in enumerate(RECORDS):
        image = decode_image(record["image"], 6)
        np.testing.assert_array_equal(together["images"][i], image)
        tokens = TOKENIZER([record["text"]])[0]
        np.testing.assert_array_equal(together["token_ids"][i], tokens)
        key = record_key(record["key"])
        np.testing.assert_array_equal(together["key"][i], key)


def test_load_arrays_are_the_same():
    (batch,) = batches(NUM_RECORDS, shuffle=False)
    arrays = load_arrays(RECORDS, TOKENIZER, 6, verbose=0)
    assert arrays.keys() == batch.keys()
    for name, array in arrays.items():
        assert array.dtype == batch[name].dtype
        np.testing.assert_array_equal(array, batch[name])


def test_drop_remainder():
    sizes = [len(b["key"]) for b in batches(10, drop_remainder=True)]
    assert sizes == [10] * 7


def test_each_epoch_has_all_records_in_another_order():
    (first, second) = keys_of(batches(NUM_RECORDS, num_epochs=2, seed=3))
    # `grain.MapDataset.shuffle(4)` would begin with the second epoch of 3.
    (third,) = keys_of(batches(NUM_RECORDS, seed=4))
    rows = [
        np.frombuffer(keys, "int32").reshape(-1, 4)
        for keys in (first, second, third)
    ]
    every = {record_key(record["key"]).tobytes() for record in RECORDS}
    assert all({row.tobytes() for row in order} == every for order in rows)
    assert len({first, second, third}) == 3
    assert keys_of(batches(NUM_RECORDS, num_epochs=2, seed=3)) == [
        first,
        second,
    ]


def test_without_end_batches_span_epochs():
    iterator = iter(batches(50, num_epochs=None))
    sizes = [len(next(iterator)["key"]) for _ in range(5)]
    assert sizes == [50] * 5


def test_goes_on_from_a_state():
    whole = keys_of(batches(10, num_epochs=2, seed=1))
    for stop in (0, 1, 5, 8, 15):
        iterator = iter(batches(10, num_epochs=2, seed=1))
        for _ in range(stop):
            next(iterator)
        state = json.loads(json.dumps(iterator.get_state()))
        later = iter(batches(10, num_epochs=2, seed=1))
        later.set_state(state)
        assert keys_of(later) == whole[stop:]


@given(
    sizes=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    num_before=st.integers(0, 4),
    num_epochs=st.sampled_from([1, 2, None]),
)
@settings(max_examples=15, deadline=None)
def test_a_state_holds_for_every_batch_size(sizes, num_before, num_epochs):
    first = iter(batches(sizes[0], num_epochs=num_epochs, seed=2))
    before = list(itertools.islice(first, num_before))
    later = iter(batches(sizes[1], num_epochs=num_epochs, seed=2))
    later.set_state(json.loads(json.dumps(first.get_state())))
    after = list(itertools.islice(later, 3))
    rows = [key.tobytes() for of in before + after for key in of["key"]]
    order = iter(batches(32, num_epochs=num_epochs, seed=2))
    expected = (key.tobytes() for batch in order for key in batch["key"])
    assert rows == list(itertools.islice(expected, len(rows)))
    for iterator in (first, later, order):
        iterator.close()


def test_a_state_of_another_version_is_refused():
    iterator = iter(batches())
    with pytest.raises(ValueError, match="Received: .*batch_idx"):
        iterator.set_state({"parent": {"next_index": 3}, "batch_idx": 8})


def test_a_fingerprint_tells_what_changes_the_rows():
    changes = [
        {},
        {"seed": 1},
        {"shuffle": False},
        {"num_epochs": 2},
        {"drop_remainder": True},
        {"rows": np.arange(50)},
        {"rows": np.arange(51)},
        {"records": RECORDS[:-1]},
        {"records": [*RECORDS[:-1], {**RECORDS[-1], "key": "another"}]},
    ]
    prints = [json.dumps(batches(**of).fingerprint()) for of in changes]
    others = Tokenizer.train(["words"] * 9, 300, 8)
    other = super_batches(RECORDS, others, 6, 10, num_epochs=1)
    larger = super_batches(RECORDS, TOKENIZER, 7, 10, num_epochs=1)
    prints += [json.dumps(of.fingerprint()) for of in (other, larger)]
    assert len(set(prints)) == len(prints)
    same = batches(33, num_workers=1).fingerprint()
    assert json.dumps(same) == prints[0]
    assert iter(batches()).fingerprint() == same


@pytest.mark.once
def test_worker_processes_yield_the_same(tmp_path):
    members = [member for number in range(40) for member in sample(number)]
    write_tar(tmp_path / "x.tar", members)
    records = TarShards(tmp_path, verbose=0)
    alone = keys_of(batches(12, records=records, seed=5))
    iterator = iter(batches(12, records=records, seed=5, num_workers=2))
    assert keys_of(iterator) == alone
    iterator.close()


@pytest.mark.parametrize(
    "num_workers", [0, pytest.param(1, marks=pytest.mark.slow)]
)
def test_a_bad_record_is_named_and_never_dropped(num_workers):
    records = [*RECORDS[:20], {"image": b"x", "text": "t", "key": "bad one"}]
    with pytest.raises(ValueError, match="bad one"):
        list(batches(7, records=records, num_workers=num_workers))
    with pytest.raises(ValueError, match="bad one"):
        load_arrays(records, TOKENIZER, 6, verbose=0)


def test_errors_before_the_first_batch():
    with pytest.raises(ValueError, match="batch_size=0"):
        batches(0)
    with pytest.raises(ValueError, match="num_epochs=0"):
        batches(5, num_epochs=0)
    with pytest.raises(ValueError, match="at least one record"):
        batches(5, records=[])
    with pytest.raises(ValueError, match="at least one record"):
        load_arrays([], TOKENIZER, 6)
    with pytest.raises(ValueError, match="77 records, batch_size=78"):
        batches(78, drop_remainder=True)


@keras.saving.register_keras_serializable("test_super_batches")
class Counter(keras.Model):
    """Counts the rows that it is trained on, and learns nothing else."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.seen = keras.metrics.Sum(name="seen")

    def call(self, batch):
        pixels = keras.ops.cast(batch["images"], "float32") / 255
        return self.dense(keras.ops.mean(pixels, axis=(1, 2)))

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        self.seen.update_state(keras.ops.ones_like(y_pred))
        return keras.ops.mean(y_pred**2)


@pytest.mark.parametrize("drop_remainder, seen", [(False, 77), (True, 70)])
def test_keras_fits_on_it(drop_remainder, seen):
    model = Counter()
    model.compile(optimizer="sgd")
    dataset = batches(10, drop_remainder=drop_remainder)
    history = model.fit(dataset, epochs=2, verbose=0)
    assert history.history["seen"] == [seen, seen]
    endless = batches(10, num_epochs=None)
    history = model.fit(endless, steps_per_epoch=3, epochs=2, verbose=0)
    assert history.history["seen"] == [30, 30]
    assert model.predict(dataset, verbose=0).shape == (seen, 1)
