"""Identities that hold wherever the samples lie."""

import json
import os
import pickle
import re

import numpy as np
import pytest
from tar_writer import picture
from tar_writer import write_tar

from keras_jest.data import TarShards
from keras_jest.data import Tokenizer
from keras_jest.data import export_subset
from keras_jest.data import key_to_hex
from keras_jest.data import open_index
from keras_jest.data import record_key
from keras_jest.data import recorded_rows
from keras_jest.data import super_batches
from keras_jest.data.fingerprint import data_fingerprint
from keras_jest.data.record_key import keys_to_hex

pytestmark = pytest.mark.once
TOKENIZER = Tokenizer.train([f"caption {i}" for i in range(9)], 300, 8)


def members(number, uid):
    fields = {} if uid is None else {"uid": uid}
    return [
        (f"s{number}.png", picture(number)),
        (f"s{number}.txt", f"caption {number}".encode()),
        (f"s{number}.json", json.dumps(fields).encode()),
    ]


def make_shards(folder, sizes, order=range(6), uids=None):
    """The samples of an order, cut into shards."""
    uids = uids or {number: f"uid {number}" for number in order}
    folder.mkdir(exist_ok=True)
    order = list(order)
    for shard, size in enumerate(sizes):
        rows, order = order[:size], order[size:]
        samples = [members(number, uids[number]) for number in rows]
        write_tar(folder / f"{shard}.tar", sum(samples, []))
    return folder


def by_text(records):
    keys = keys_to_hex(records.keys)
    return {
        record["text"]: key for record, key in zip(records, keys, strict=True)
    }


@pytest.mark.parametrize("identity", ["key", "uid"])
def test_resharded_samples_keep_their_identities(tmp_path, identity):
    one = make_shards(tmp_path / "one", [4, 2])
    other = make_shards(tmp_path / "other", [1, 3, 2], [5, 0, 3, 1, 4, 2])
    one, other = (
        TarShards(folder, identity=identity, verbose=0)
        for folder in (one, other)
    )
    assert by_text(one) == by_text(other)
    assert one.keys.tolist() != other.keys.tolist()
    record = other[0]
    assert record["id"] == {"key": "s5", "uid": "uid 5"}[identity]
    assert np.array_equal(other.keys[0], record_key(record["id"]))
    for records in (one, other):
        batches = super_batches(records, TOKENIZER, 4, 4, num_epochs=1)
        keys = [key for batch in batches for key in keys_to_hex(batch["key"])]
        assert sorted(keys) == sorted(by_text(one).values())


def test_shard_and_key_remain_the_default(tmp_path):
    one = TarShards(make_shards(tmp_path / "one", [4, 2]), verbose=0)
    other = TarShards(make_shards(tmp_path / "other", [2, 4]), verbose=0)
    assert by_text(one) != by_text(other)
    assert "id" not in one[0] and one.identity == "shard/key"
    expected = [record_key(of["key"], of["shard"]) for of in one]
    assert np.array_equal(one.keys, expected)
    with pytest.raises(ValueError, match="read-only"):
        one.keys[0] = 0


def test_picks_of_one_sharding_are_found_in_another(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    one = make_shards(tmp_path / "one", [4, 2])
    other = make_shards(tmp_path / "other", [3, 3], [5, 0, 3, 1, 4, 2])
    one, other = (
        TarShards(of, identity="uid", verbose=0) for of in (one, other)
    )
    picks = {"step": [0, 0, 1, 1], "key": keys_to_hex(one.keys[[1, 5, 3, 1]])}
    parquet.write_table(pyarrow.table(picks), tmp_path / "log.parquet")
    steps = recorded_rows(tmp_path / "log.parquet", other.keys)
    assert [rows.tolist() for rows in steps] == [[3, 0], [2, 3]]
    subset = export_subset(tmp_path / "log.parquet", tmp_path / "subset.npy")
    chosen = {f"{first:016x}{second:016x}" for first, second in subset}
    rows = [
        row for row, key in enumerate(keys_to_hex(other.keys)) if key in chosen
    ]
    assert [other[row]["id"] for row in rows] == ["uid 5", "uid 3", "uid 1"]
    uids = {key_to_hex(record_key(f"uid {i}")): f"{i:032x}" for i in range(6)}
    subset = export_subset(
        tmp_path / "log.parquet", tmp_path / "uids.npy", uid_of_key=uids
    )
    assert subset["f1"].tolist() == [1, 3, 5]
    for uid in (5, "5", "x" * 32):
        with pytest.raises(ValueError, match="32 hexadecimal.*key"):
            export_subset(
                tmp_path / "log.parquet",
                tmp_path / "none.npy",
                uid_of_key=dict.fromkeys(uids, uid),
            )
    with pytest.raises(ValueError, match="Received: None for the key"):
        export_subset(tmp_path / "log.parquet", tmp_path / "none.npy", 1, {})


def test_identity_is_paid_once(tmp_path, monkeypatch):
    folder, index = make_shards(tmp_path / "one", [4, 2]), tmp_path / "index"
    expected = by_text(TarShards(folder, identity="uid", verbose=0))

    def scan(*_):
        raise RuntimeError("scanned")

    plain = TarShards(folder, verbose=0, index_path=index)
    monkeypatch.setattr(open_index, "scan_shard", scan)
    # Another identity reads the JSON, and no picture.
    records = TarShards(folder, verbose=0, index_path=index, identity="uid")
    assert by_text(records) == expected
    monkeypatch.setattr(open_index, "checked_keys", scan)
    again = TarShards(folder, verbose=0, index_path=index, identity="uid")
    assert by_text(again) == expected
    assert plain.fingerprint != again.fingerprint == records.fingerprint


def test_an_index_without_identities_is_taken_up(tmp_path, monkeypatch):
    """That is what version 0.1.0 wrote; here a folder is read-only, too."""
    folder, index = make_shards(tmp_path / "one", [4, 2]), tmp_path / "i.npz"
    records = TarShards(folder, verbose=0, index_path=index)
    with np.load(index) as arrays:
        arrays = dict(arrays)
    del arrays["identities"]
    header = json.loads(arrays["header"].tobytes())
    del header["identity"]
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), "uint8")
    np.savez(index, **arrays)
    before = index.read_bytes()

    def replace(*_):
        raise OSError("read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        patch.setattr(open_index, "build_index", replace)
        again = TarShards(folder, verbose=0, index_path=index)
    assert np.array_equal(again.keys, records.keys)
    assert again.fingerprint == records.fingerprint
    assert index.read_bytes() == before


def test_a_pickle_leaves_identities_out(tmp_path):
    folder = make_shards(tmp_path / "one", [4, 2])
    records = TarShards(folder, identity="uid", verbose=0)
    data = pickle.dumps(records)
    assert records.keys.tobytes() not in data
    again = pickle.loads(data)
    assert np.array_equal(again.keys, records.keys)
    assert list(again) == list(records) and again.identity == "uid"


def test_repeated_identities_are_named(tmp_path):
    make_shards(tmp_path / "one", [3])
    make_shards(tmp_path / "two", [2], [7, 1])
    paths = [tmp_path / "one", tmp_path / "two"]
    message = "'s1' of 'one/0.tar', 's1' of 'two/0.tar'"
    with pytest.raises(ValueError, match=re.escape(message)):
        TarShards(paths, identity="key", verbose=0)
    assert len(TarShards(paths, verbose=0)) == 5


@pytest.mark.parametrize("uid", [None, "", True, [1], {}, float("nan")])
def test_records_without_the_field_are_named(tmp_path, uid):
    uids = {0: "a", 1: uid, 2: 3, 3: 2.5}
    folder = make_shards(tmp_path / "x", [3, 1], range(4), uids)
    message = "1 of 4 records without, such as 's1' of '0.tar'"
    with pytest.raises(ValueError, match=message):
        TarShards(folder, identity="uid", verbose=0)


def test_texts_and_numbers_are_identities(tmp_path):
    uids = {0: "é\ud800", 1: 2**70, 2: 3, 3: 2.5}
    folder = make_shards(tmp_path / "x", [3, 1], range(4), uids)
    records = TarShards(folder, identity="uid", verbose=0)
    texts = ["é\ud800", str(2**70), "3", "2.5"]
    assert [record["id"] for record in records] == texts
    assert np.array_equal(records.keys, [record_key(text) for text in texts])
    uids[1] = "3"
    folder = make_shards(tmp_path / "x", [3, 1], range(4), uids)
    with pytest.raises(ValueError, match="'s1' of '0.tar', 's2' of '0.tar'"):
        TarShards(folder, identity="uid", verbose=0)


def test_plain_records_may_have_an_id():
    records = [
        {"image": picture(), "text": "a", "key": str(i), "id": f"uid {i}"}
        for i in range(3)
    ]
    (batch,) = super_batches(records, TOKENIZER, 4, 3, False, num_epochs=1)
    expected = [record_key(f"uid {i}") for i in range(3)]
    assert np.array_equal(batch["key"], expected)
    resharded = [{**record, "shard": "x"} for record in records]
    plain = [{**record, "id": None} for record in records]
    for record in plain:
        del record["id"]
    one, same, other = (
        data_fingerprint(of, TOKENIZER) for of in (records, resharded, plain)
    )
    assert one == same != other


def test_what_is_no_identity_is_refused(tmp_path):
    make_shards(tmp_path, [6])
    with pytest.raises(ValueError, match="identity=None"):
        TarShards(tmp_path, verbose=0, identity=None)
    record = {"image": picture(0), "text": "a", "key": "0", "id": 5}
    with pytest.raises(ValueError, match=r"str\(number\).*: 5"):
        next(iter(super_batches([record], TOKENIZER, 8, 1)))
