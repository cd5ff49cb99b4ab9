"""What a reference said reaches each record, wherever it lies."""

import json

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from store_writer import make_columns
from store_writer import make_metadata
from store_writer import write_store
from tar_writer import picture
from tar_writer import write_tar

from keras_jest.data import ReferenceStore
from keras_jest.data import TarShards
from keras_jest.data import Tokenizer
from keras_jest.data import key_to_hex
from keras_jest.data import record_key
from keras_jest.data import super_batches
from keras_jest.data.fingerprint import tokenizer_digest
from keras_jest.data.record_key import keys_to_hex

pytestmark = pytest.mark.once
pytest.importorskip("pyarrow")
NUM_RECORDS = 12
IMAGE_SIZE = 4
TOKENIZER = Tokenizer.train([f"caption {i}" for i in range(12)], 300, 8)
NAMES = ("image_embedding", "text_embedding")


def write_shards(folder, sizes, order):
    folder.mkdir(exist_ok=True)
    order = list(order)
    for shard, size in enumerate(sizes):
        rows, order = order[:size], order[size:]
        members = []
        for row in rows:
            uid = json.dumps({"uid": f"uid {row}"}).encode()
            members += [
                (f"s{row}.png", picture(row)),
                (f"s{row}.txt", f"caption {row}".encode()),
                (f"s{row}.json", uid),
            ]
        write_tar(folder / f"{shard}.tar", members)
    return folder


def make_store(folder, records, width=6, part_size=5, fingerprint=None):
    """A store as a builder makes it, of rows that tell which they are."""
    num_rows = len(records)
    dtype = "float32" if width is None else "float16"
    metadata = make_metadata(num_rows, part_size, width, dtype)
    metadata["identity"] = records.identity
    metadata["fingerprint"] = {
        "reference": "of weights",
        "image_size": IMAGE_SIZE,
        "tokenizer": tokenizer_digest(TOKENIZER),
        "identity": records.identity,
        "records": records.fingerprint,
        **(fingerprint or {}),
    }
    columns = make_columns(num_rows, width, dtype)
    write_store(folder, records.keys, columns, part_size, metadata)
    of_key = {
        key: {name: columns[name][row] for name in columns}
        for row, key in enumerate(keys_to_hex(records.keys))
    }
    return ReferenceStore(folder), of_key


def batches(records, store, batch_size=5, num_epochs=1, **arguments):
    return super_batches(
        records,
        TOKENIZER,
        IMAGE_SIZE,
        batch_size,
        num_epochs=num_epochs,
        reference=store,
        **arguments,
    )


def check_joined(batch, of_key, names=NAMES):
    for name in names:
        array = batch[f"reference_{name}"]
        expected = [of_key[key][name] for key in keys_to_hex(batch["key"])]
        assert array.dtype == expected[0].dtype
        assert np.array_equal(array, expected)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Samples in two shards, and a store of them by their uids."""
    folder = tmp_path_factory.mktemp("stored")
    shards = write_shards(folder / "shards", [7, 5], range(NUM_RECORDS))
    records = TarShards(shards, identity="uid", verbose=0)
    return records, *make_store(folder / "store", records)


@settings(max_examples=10, deadline=None)
@given(
    order=st.permutations(range(NUM_RECORDS)),
    cuts=st.lists(st.integers(1, NUM_RECORDS - 1), unique=True, max_size=3),
    batch_size=st.sampled_from([1, 5, 50]),
    seed=st.integers(0, 3),
)
def test_resharded_records_find_what_is_theirs(
    stored, tmp_path_factory, order, cuts, batch_size, seed
):
    _, store, of_key = stored
    folder = tmp_path_factory.mktemp("other")
    cuts = [0, *sorted(cuts), NUM_RECORDS]
    records = TarShards(
        write_shards(folder, np.diff(cuts), order), identity="uid", verbose=0
    )
    seen = []
    for batch in batches(records, store, batch_size, seed=seed):
        check_joined(batch, of_key)
        seen += keys_to_hex(batch["key"])
    assert sorted(seen) == sorted(of_key)


def test_the_rest_of_a_batch_is_as_without(stored):
    records, store, _ = stored
    joined, plain = (
        list(batches(records, of, num_epochs=2)) for of in (store, None)
    )
    for one, other in zip(joined, plain, strict=True):
        assert {*one} == {*other, *(f"reference_{name}" for name in NAMES)}
        for name in other:
            assert np.array_equal(one[name], other[name])


def test_a_run_goes_on_in_the_middle(stored):
    records, store, of_key = stored
    expected = list(batches(records, store, num_epochs=3))
    iterator = iter(batches(records, store, num_epochs=3))
    for _ in range(4):
        next(iterator)
    state = iterator.get_state()
    again = iter(batches(records, store, num_epochs=3))
    again.set_state(state)
    rest = list(again)
    assert len(rest) == len(expected) - 4
    for batch, other in zip(rest, expected[4:], strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            assert np.array_equal(batch[name], other[name])
        check_joined(batch, of_key)


def test_the_fingerprint_knows_the_reference(stored, tmp_path):
    records, store, _ = stored
    same, _ = make_store(tmp_path / "same", records, part_size=2)
    other, _ = make_store(
        tmp_path / "other", records, fingerprint={"reference": "another"}
    )
    one, equal, differs, none = (
        batches(records, of).fingerprint() for of in (store, same, other, None)
    )
    assert one == equal
    differ = {name for name in one if one[name] != differs[name]}
    assert differ == {"reference"}
    assert {name for name in one if one[name] != none[name]} == differ


def test_losses_are_joined(stored, tmp_path):
    records, _, _ = stored
    store, of_key = make_store(tmp_path / "losses", records, width=None)
    for batch in batches(records, store):
        check_joined(batch, of_key, ["loss"])
        assert batch["reference_loss"].dtype == "float32"
        assert "reference_image_embedding" not in batch


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"image_size": 8}, r"'image_size': 8}. Received: {'image_size': 4}"),
        ({"tokenizer": "x"}, "has {'tokenizer': 'x'}"),
        ({"identity": "key"}, "'key'}. Received: {'identity': 'uid'}"),
        ({"image_size": 8, "tokenizer": "x"}, "image_size.*tokenizer"),
    ],
)
def test_what_differs_is_named_before_the_first_step(
    stored, tmp_path, changes, message
):
    records, _, of_key = stored
    store, _ = make_store(tmp_path / "x", records, fingerprint=changes)
    with pytest.raises(ValueError, match=message):
        batches(records, store)
    # The way out that the message names.
    dataset = batches(records, None)
    for batch in dataset.map(lambda of: {**of, **store.take(of["key"])}):
        check_joined(batch, of_key)


def test_what_is_not_known_is_not_compared(stored, tmp_path):
    records, _, of_key = stored
    unknown = dict.fromkeys(["reference", "image_size", "tokenizer"])
    store, _ = make_store(tmp_path / "x", records, fingerprint=unknown)
    for batch in batches(records, store):
        check_joined(batch, of_key)


def test_missing_records_are_named_before_the_first_step(stored, tmp_path):
    _, store, of_key = stored
    folder = write_shards(tmp_path / "x", [8, 6], range(NUM_RECORDS + 2))
    records = TarShards(folder, identity="uid", verbose=0)
    message = "without 2 of 14 records, such as 'uid 12', 'uid 13'"
    with pytest.raises(ValueError, match=message):
        batches(records, store)
    with pytest.raises(ValueError, match="1 of 2 records, such as 'uid 13'"):
        batches(records, store, rows=[1, 13])
    for batch in batches(records, store, rows=range(NUM_RECORDS)):
        check_joined(batch, of_key)
    plain = TarShards(folder, verbose=0)
    with pytest.raises(ValueError, match="'identity': 'shard/key'"):
        batches(plain, store)


class Unlisted:
    """A source of records that cannot tell all keys at once."""

    def __init__(self, records):
        self.records = records

    def __len__(self):
        return len(self.records)

    def __getitem__(self, number):
        return self.records[number]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_source_without_keys_is_told_while_it_runs(stored, num_workers):
    _, store, of_key = stored
    records = [
        {"image": picture(), "text": "text", "key": "any", "id": f"uid {row}"}
        for row in range(NUM_RECORDS + 1)
    ]
    with pytest.raises(ValueError, match=f"such as 'uid {NUM_RECORDS}'"):
        batches(records, store)
    dataset = batches(
        Unlisted(records), store, 4, shuffle=False, num_workers=num_workers
    )
    iterator = iter(dataset)
    for _ in range(NUM_RECORDS // 4):
        check_joined(next(iterator), of_key)
    key = key_to_hex(record_key(f"uid {NUM_RECORDS}"))
    # Grain's workers hand over the text of what they raise.
    kind = Exception if num_workers else ValueError
    with pytest.raises(kind, match=f"1 of 1 keys.*{key}"):
        next(iterator)


def test_a_model_is_no_store(stored):
    records, _, _ = stored
    with pytest.raises(ValueError, match="ReferenceStore.*given to `JESTMod"):
        batches(records, keras.Sequential())
