"""Whatever takes records takes those of own files."""

import multiprocessing
import operator
import os
import pickle
import shutil

import keras
import numpy as np
import pytest
from own_files import KINDS
from own_files import make_records
from own_files import write_pairs
from tar_writer import write_tar
from tiny_encoder import make_encoder

from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest.callbacks import SelectionLog
from keras_jest.data import CaptionedFolder
from keras_jest.data import CaptionTable
from keras_jest.data import Replay
from keras_jest.data import TarShards
from keras_jest.data import Tokenizer
from keras_jest.data import checked_records
from keras_jest.data import decode_image
from keras_jest.data import export_subset
from keras_jest.data import key_to_hex
from keras_jest.data import load_arrays
from keras_jest.data import record_key
from keras_jest.data import recorded_rows
from keras_jest.data import super_batches
from keras_jest.data.record_key import keys_to_hex
from keras_jest.evaluation import selection_report
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import build_store

TOKENIZER = Tokenizer.train([f"caption {row}" for row in range(9)], 300, 8)
once = pytest.mark.once


def batches(records, batch_size=4, **arguments):
    arguments = {"shuffle": False, "num_epochs": 1, **arguments}
    return super_batches(records, TOKENIZER, 6, batch_size, **arguments)


@once
@pytest.mark.parametrize("kind", KINDS)
def test_records_are_batches_and_arrays(kind, tmp_path):
    records = make_records(kind, tmp_path / "x")
    by_text = {record["text"]: record for record in records}
    assert sorted(by_text) == [f"caption {row}" for row in range(6)]
    for row in range(6):
        record = by_text[f"caption {row}"]
        file = tmp_path / "x" / "ab"[row % 2] / f"{row // 2}.png"
        assert record["image"] == file.read_bytes()
        assert record["json"]["uid"] == f"u{row}"
        key = f"{'ab'[row % 2]}/{row // 2}"
        assert record["key"].removesuffix(".png") == key
    arrays = load_arrays(records, TOKENIZER, 6, verbose=0)
    together = list(batches(records, 4))
    for name, array in arrays.items():
        parts = [batch[name] for batch in together]
        np.testing.assert_array_equal(np.concatenate(parts), array)
    np.testing.assert_array_equal(arrays["key"], records.keys)
    for record, image, key in zip(
        records, arrays["images"], records.keys, strict=True
    ):
        np.testing.assert_array_equal(image, decode_image(record["image"], 6))
        np.testing.assert_array_equal(key, record_key(record["id"]))
    assert len(set(keys_to_hex(records.keys))) == 6
    with pytest.raises(ValueError, match="read-only"):
        records.keys[0] = 0
    with pytest.raises(IndexError):
        records[6]
    assert records[-1] == records[5]


@once
@pytest.mark.parametrize("kind", KINDS)
def test_keys_stay_when_the_data_move(kind, tmp_path):
    one = make_records(kind, tmp_path / "one")
    before = one.keys.copy(), one.fingerprint
    shutil.rmtree(tmp_path / "one")
    other = make_records(kind, tmp_path / "else" / "where")
    assert np.array_equal(other.keys, before[0])
    assert other.fingerprint == before[1]


@once
@pytest.mark.parametrize("kind", KINDS)
def test_a_field_is_an_identity(kind, tmp_path):
    records = make_records(kind, tmp_path / "x", identity="uid")
    assert records.identity == "uid"
    for record, key in zip(records, records.keys, strict=True):
        assert record["id"] == record["json"]["uid"]
        np.testing.assert_array_equal(key, record_key(record["id"]))
    assert sorted(records.column("uid")) == [f"u{row}" for row in range(6)]
    if kind == "folder":
        (tmp_path / "x" / "a" / "1.json").write_text('{"uid": "u0"}')
        with pytest.raises(ValueError, match="name one record.*'a/1'"):
            CaptionedFolder(tmp_path / "x", verbose=0, identity="uid")
        (tmp_path / "x" / "a" / "1.json").write_text("{}")
        with pytest.raises(ValueError, match="1 of 6 records without.*'a/1'"):
            CaptionedFolder(tmp_path / "x", verbose=0, identity="uid")


@once
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("with_index", [False, True])
def test_a_pickle_reads_the_same(kind, with_index, tmp_path):
    index = tmp_path / "index" / "x.npz" if with_index else None
    records = make_records(kind, tmp_path / "x", index_path=index)
    data = pickle.dumps(records)
    assert records.keys.tobytes() not in data
    if kind != "dataset":  # Its pickle is its own matter.
        assert records[0]["image"] not in data
    again = pickle.loads(data)
    assert list(again) == list(records)
    assert np.array_equal(again.keys, records.keys)


@pytest.mark.slow
@once
def test_another_process_reads_the_same(tmp_path):
    """A worker of grain is one that is spawned, too."""
    records = [make_records(kind, tmp_path / kind) for kind in KINDS[:3]]
    jobs = [(of, row) for of in records for row in range(6)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.starmap(operator.getitem, jobs)
    assert found == [of[row] for of, row in jobs]


@pytest.mark.slow
@once
def test_workers_of_grain_yield_the_same(tmp_path):
    records = make_records("csv", tmp_path, 20)
    alone = [batch["key"].tobytes() for batch in batches(records)]
    iterator = iter(batches(records, num_workers=2))
    assert [batch["key"].tobytes() for batch in iterator] == alone
    iterator.close()


@once
def test_a_folder_and_its_tar_have_the_same_keys(tmp_path):
    folder = CaptionedFolder(write_pairs(tmp_path / "x"), verbose=0)
    files = sorted((tmp_path / "x").rglob("*.*"))
    names = [of.relative_to(tmp_path / "x").as_posix() for of in files]
    members = [(n, f.read_bytes()) for n, f in zip(names, files, strict=True)]
    write_tar(tmp_path / "x.tar", members)
    shards = TarShards(tmp_path / "x.tar", verbose=0, identity="key")
    assert np.array_equal(shards.keys, folder.keys)
    assert shards.column("uid") == folder.column("uid")
    assert shards.column("shard") == ["x.tar"] * 6


def reference_of(batch):
    """A function that says of each row what its first pixel is."""
    rows = np.asarray(batch["images"], "float32")[:, 0, 0]
    return {
        "image_embedding": rows,
        "text_embedding": rows[:, ::-1],
        "logit_scale": np.ones(len(rows), "float32"),
        "logit_bias": np.zeros(len(rows), "float32"),
    }


@once
@pytest.mark.parametrize("kind", KINDS)
def test_a_store_is_built_and_joined(kind, tmp_path):
    records = make_records(kind, tmp_path / "x")
    store = build_store(
        tmp_path / "store",
        reference_of,
        records,
        TOKENIZER,
        6,
        batch_size=4,
        part_size=4,
        dtype="float32",
        verbose=0,
    )
    assert store.fingerprint["identity"] == "key"
    for batch in batches(records, 3, shuffle=True, reference=store):
        pixels = batch["images"][:, 0, 0].astype("float32")
        unit = pixels / np.linalg.norm(pixels, axis=1, keepdims=True)
        np.testing.assert_allclose(
            batch["reference_image_embedding"], unit, rtol=1e-6
        )
    more = make_records(kind, tmp_path / "more", 8)
    with pytest.raises(ValueError, match="without 2 of 8 records"):
        batches(more, reference=store)


@pytest.mark.parametrize("kind", ["csv", pytest.param("folder", marks=once)])
def test_a_run_is_logged_shown_and_replayed(kind, tmp_path):
    records = make_records(kind, tmp_path / "x", 24)
    model = JESTModel(make_encoder(300), make_encoder(300), seed=0)
    model.compile(
        keras.optimizers.SGD(0.1),
        loss=SigmoidContrastiveLoss(),
        selection=IndependentSelection(sub_batch_size=3),
    )
    log = SelectionLog(tmp_path / "picks.parquet", keep_seen=True)
    dataset = batches(records, 8, shuffle=True)
    model.fit(dataset, verbose=0, callbacks=[log])
    steps = recorded_rows(log.path, records.keys)
    assert [len(rows) for rows in steps] == [3, 3, 3]
    arrays = load_arrays(records, TOKENIZER, 6, verbose=0)
    replay = Replay(log.path, arrays)
    for number, rows in enumerate(steps):
        (batch,) = replay[number]
        assert np.array_equal(batch["images"], arrays["images"][rows])
    subset = export_subset(log.path, tmp_path / "subset.npy")
    chosen = {f"{first:016x}{second:016x}" for first, second in subset}
    assert chosen == {
        key_to_hex(records.keys[of]) for of in {*sum(map(list, steps), [])}
    }
    column = "folder" if kind == "folder" else "uid"
    tables = selection_report(
        log.path, records, tmp_path / "page.html", [column]
    )
    assert tables["records"]["seen"].to_pylist() == [1] * 24
    assert tables["records"][column].to_pylist() == records.column(column)
    page = (tmp_path / "page.html").read_text()
    assert "cannot be read" not in page and page.count("<img") > 9
    assert records[0]["id"] in page
    with pytest.raises(ValueError, match="no record has.*uid"):
        selection_report(log.path, records, tmp_path / "no.html", ["none"])


@once
@pytest.mark.parametrize("kind", KINDS)
def test_an_index_is_paid_once(kind, tmp_path, monkeypatch):
    folder, index = tmp_path / "x", tmp_path / "index" / "x.npz"
    records = make_records(kind, folder, identity="uid", index_path=index)

    def scan(*_):
        raise RuntimeError("scanned")

    monkeypatch.setattr(checked_records, "build_index", scan)
    make = {
        "folder": lambda of: CaptionedFolder(folder, **of),
        "csv": lambda of: CaptionTable(folder / "pairs.csv", **of),
        "parquet": lambda of: CaptionTable(folder / "pairs.parquet", **of),
        "dataset": lambda of: make_records(kind, folder, **of),
    }[kind]
    again = make({"identity": "uid", "index_path": index, "verbose": 0})
    assert list(again) == list(records)
    assert np.array_equal(again.keys, records.keys)
    plain = make({"index_path": index, "verbose": 0})
    assert plain.fingerprint != again.fingerprint
    if kind != "dataset":
        changed = "pairs.parquet" if kind == "parquet" else "a/0.png"
        os.utime(folder / changed, ns=(0, 0))
        with pytest.raises(RuntimeError, match="scanned"):
            make({"index_path": index, "verbose": 0})
    (tmp_path / "none.npz").write_bytes(b"none of ours")
    with pytest.raises(ValueError, match="index_path.*CheckedRecords"):
        make({"index_path": tmp_path / "none.npz", "verbose": 0})


@once
def test_files_that_change_are_named(tmp_path):
    records = make_records("csv", tmp_path / "x")
    (tmp_path / "x" / "a" / "0.png").unlink()
    with pytest.raises(ValueError, match="CaptionTable.*'a/0.png'"):
        records[0]
    again = pickle.loads(pickle.dumps(records))
    with open(tmp_path / "x" / "pairs.csv", "a") as file:
        file.write("\n")
    with pytest.raises(ValueError, match="anew.*have changed"):
        again[1]
