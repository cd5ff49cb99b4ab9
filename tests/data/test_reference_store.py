import os
import pickle
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from store_writer import WIDTH
from store_writer import make_columns
from store_writer import make_keys
from store_writer import make_metadata
from store_writer import write_store

from keras_jest.data import ReferenceStore
from keras_jest.data import key_to_hex
from keras_jest.data import store_index
from keras_jest.data.record_key import keys_to_hex
from keras_jest.data.store_parts import part_name
from keras_jest.data.store_parts import read_part

pytestmark = pytest.mark.once
pyarrow = pytest.importorskip("pyarrow")


def make_store(
    folder, num_rows=10, part_size=4, width=WIDTH, keys=None, **changes
):
    keys = make_keys(num_rows) if keys is None else keys
    columns = make_columns(num_rows, width, changes.get("dtype", "float16"))
    if width is None:
        changes["dtype"] = "float32"
    metadata = {**make_metadata(num_rows, part_size, width), **changes}
    write_store(folder, keys, columns, part_size, metadata)
    return keys, columns


@settings(max_examples=50, deadline=None)
@given(
    num_rows=st.integers(1, 40),
    part_size=st.integers(1, 41),
    width=st.sampled_from([1, 7, None]),
    dtype=st.sampled_from(["float16", "float32"]),
    data=st.data(),
)
def test_rows_are_those_of_a_dictionary(
    tmp_path_factory, num_rows, part_size, width, dtype, data
):
    folder = tmp_path_factory.mktemp("store")
    order = np.array(data.draw(st.permutations(range(num_rows))))
    keys, columns = make_store(
        folder,
        num_rows,
        part_size,
        width,
        make_keys(num_rows)[order],
        dtype=dtype,
    )
    expected = {
        key: {name: columns[name][row] for name in columns}
        for row, key in enumerate(keys_to_hex(keys))
    }
    asked = data.draw(st.lists(st.integers(0, num_rows - 1)))
    asked = keys[np.array(asked, "int64")]
    for _ in range(2):  # The second time with the index that is kept.
        store = ReferenceStore(folder)
        arrays = store.take(asked)
        assert len(store) == num_rows
        for name, column in columns.items():
            array = arrays.pop(f"reference_{name}")
            assert array.dtype == column.dtype
            assert array.shape == (len(asked), *column.shape[1:])
            for key, row in zip(keys_to_hex(asked), array, strict=True):
                assert np.array_equal(row, expected[key][name])
        assert not arrays
    shutil.rmtree(folder)


def test_what_a_store_says_of_itself(tmp_path):
    keys, _ = make_store(tmp_path / "x")
    store = ReferenceStore(tmp_path / "x")
    assert store.metadata == {"format": 1, **make_metadata(10, 4)}
    assert (store.logit_scale, store.logit_bias) == (10.0, -10.0)
    assert store.fingerprint["image_size"] == 8
    assert store.rows(keys[[7, 0]]).tolist() == [7, 0]
    again = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(store)) < 500
    assert again.rows(keys).tolist() == list(range(10))
    make_store(tmp_path / "y", width=None)
    losses = ReferenceStore(tmp_path / "y")
    assert (losses.logit_scale, losses.logit_bias) == (None, None)


def test_missing_keys_are_counted_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_jest.data.reference_store.KEYS_AT_A_TIME", 5)
    keys = make_keys(14)
    make_store(tmp_path / "x", keys=keys[3:13])
    store = ReferenceStore(tmp_path / "x")
    assert store.missing(keys).tolist() == [0, 1, 2, 13]
    assert store.missing(keys[3:13]).tolist() == []
    message = f"'shard/key'.*4 of 14 keys.*such as {key_to_hex(keys[0])}"
    for ask in (store.take, store.rows):
        with pytest.raises(ValueError, match=message):
            ask(keys)
        with pytest.raises(ValueError, match=r"shape \(14,\)"):
            ask(keys[:, 0])


def index_of(folder):
    return folder / store_index.INDEX


def test_the_index_is_made_once_and_again_when_parts_change(
    tmp_path, monkeypatch
):
    folder = tmp_path / "x"
    keys, _ = make_store(folder)
    ReferenceStore(folder)
    made = []
    real = store_index.make_index
    monkeypatch.setattr(
        store_index,
        "make_index",
        lambda *arguments: made.append(1) or real(*arguments),
    )
    assert ReferenceStore(folder).rows(keys).tolist() == list(range(10))
    assert not made
    make_store(folder, keys=keys[::-1])  # Of the same size.
    opened = ReferenceStore(folder)
    assert opened.rows(keys).tolist() == list(range(10))[::-1]
    assert len(made) == 1
    whole = index_of(folder).read_bytes()
    for damaged in (b"", whole[:-1], whole[:100], b"x" * len(whole)):
        index_of(folder).write_bytes(damaged)
        assert len(ReferenceStore(folder)) == 10
    assert len(made) == 5
    assert index_of(folder).read_bytes() == whole


def test_a_folder_that_can_only_be_read(tmp_path, monkeypatch):
    folder = tmp_path / "x"
    keys, _ = make_store(folder)

    def refuse(*_):
        raise OSError("read-only file system")

    monkeypatch.setattr(store_index, "write_arrow_file", refuse)
    before = sorted(os.listdir(folder))
    store = pickle.loads(pickle.dumps(ReferenceStore(folder)))
    assert store.rows(keys).tolist() == list(range(10))
    assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize(
    "gone, message",
    [
        ([0], "3 parts.*without 1 of them: part-00000.arrow"),
        ([1], "3 parts.*without 1 of them: part-00001.arrow"),
        ([2], "3 parts.*without 1 of them: part-00002.arrow"),
        ([1, 2], "3 parts.*without 2 of them: part-00001.arrow, part-00002"),
        ([0, 1, 2], "where there is none"),
    ],
)
@pytest.mark.parametrize("indexed", [False, True])
def test_missing_parts_are_named(tmp_path, gone, message, indexed):
    make_store(tmp_path / "x")
    if indexed:
        ReferenceStore(tmp_path / "x")
    for number in gone:
        (tmp_path / "x" / part_name(number)).unlink()
    with pytest.raises(ValueError, match=message):
        ReferenceStore(tmp_path / "x")


@pytest.mark.parametrize("indexed", [False, True])
def test_damaged_and_foreign_parts_are_named(tmp_path, indexed):
    folder, path = tmp_path / "x", tmp_path / "x" / part_name(1)
    keys, columns = make_store(folder)
    if indexed:
        ReferenceStore(folder)
    whole = path.read_bytes()
    cases = {
        "damaged.*part-00001": whole[: len(whole) // 2],
        "one store.*part-00001.arrow' with {'logit_bias': -3.0}": None,
        "key' has changed": whole.replace(
            key_to_hex(keys[5]).encode(), key_to_hex(keys[5] + 1).encode()
        ),
        "Expected 4 rows in part 1.*with 2 rows": (
            folder / part_name(2)
        ).read_bytes(),
    }
    make_store(tmp_path / "y", logit_bias=-3.0)
    other = (tmp_path / "y" / part_name(1)).read_bytes()
    for message, data in cases.items():
        path.write_bytes(other if data is None else data)
        with pytest.raises(ValueError, match=message):
            ReferenceStore(folder)
    path.write_bytes(whole)
    assert len(ReferenceStore(folder)) == 10
    (folder / part_name(3)).write_bytes(whole)
    with pytest.raises(ValueError, match="3 parts.*with 4 parts"):
        ReferenceStore(folder)
    with pytest.raises(ValueError, match="where there is none"):
        ReferenceStore(tmp_path / "nowhere")


def test_duplicates_are_named(tmp_path):
    keys = make_keys(10)
    keys[6] = keys[1]
    make_store(tmp_path / "x", keys=keys)
    message = (
        f"1 keys.*{key_to_hex(keys[1])} in part-00000.arrow and part-00001"
    )
    with pytest.raises(ValueError, match=message):
        ReferenceStore(tmp_path / "x")


def test_a_part_that_is_replaced_meanwhile_is_named(tmp_path):
    keys, _ = make_store(tmp_path / "x")
    store = ReferenceStore(tmp_path / "x")
    store.take(keys[:1])
    make_store(tmp_path / "x", logit_bias=-3.0)
    store.take(keys[:1])  # The old part is mapped, and stays what it is.
    with pytest.raises(ValueError, match="when it was opened.*part-00001"):
        store.take(keys[5:6])


def test_a_part_that_is_deleted_meanwhile_is_named(tmp_path):
    keys, _ = make_store(tmp_path / "x")
    store = ReferenceStore(tmp_path / "x")
    (tmp_path / "x" / "part-00001.arrow").unlink()
    store.take(keys[:1])
    with pytest.raises(ValueError, match="part-00001.arrow', which is gone"):
        store.take(keys[5:6])


def test_a_bit_that_was_lost_is_found(tmp_path):
    folder = tmp_path / "x"
    make_store(folder)
    store = ReferenceStore(folder)
    store.verify(verbose=0)
    path = folder / part_name(1)
    values = read_part(path).columns["text_embedding"].tobytes()
    for of, data in ((path, values), (index_of(folder), None)):
        whole = of.read_bytes()
        changed = bytearray(whole)
        place = whole.index(data) if data else len(whole) // 3
        changed[place] ^= 1
        of.write_bytes(changed)
        with pytest.raises(ValueError, match=of.name):
            store.verify(verbose=0)
        of.write_bytes(whole)
    store.verify(verbose=0)


def test_arrow_pandas_and_polars_read_it_without_us(tmp_path):
    folder = tmp_path / "x"
    keys, columns = make_store(folder)
    ReferenceStore(folder)  # Its index is no part.
    hexes = keys_to_hex(keys)
    dataset = pytest.importorskip("pyarrow.dataset")
    table = dataset.dataset(folder, format="ipc").to_table()
    assert table["key"].to_pylist() == hexes
    images = columns["image_embedding"]
    assert table["image_embedding"].to_pylist() == images.tolist()
    assert table.schema.field("image_embedding").type == pyarrow.list_(
        pyarrow.float16(), WIDTH
    )


def test_pandas_reads_it(tmp_path):
    pandas = pytest.importorskip("pandas")
    keys, columns = make_store(tmp_path / "x")
    frames = [
        pandas.read_feather(tmp_path / "x" / part_name(i)) for i in range(3)
    ]
    frame = pandas.concat(frames, ignore_index=True)
    values = np.stack(frame["text_embedding"])
    assert values.dtype == "float16"
    assert np.array_equal(values, columns["text_embedding"])
    log = pandas.DataFrame({"key": keys_to_hex(keys[[8, 2]]), "step": [0, 1]})
    joined = log.merge(frame, on="key")
    assert np.array_equal(
        np.stack(joined["image_embedding"]), columns["image_embedding"][[8, 2]]
    )


def test_polars_reads_it(tmp_path):
    polars = pytest.importorskip("polars")
    keys, columns = make_store(tmp_path / "x")
    frame = polars.scan_ipc(tmp_path / "x" / "part-*.arrow").collect()
    log = polars.DataFrame({"key": keys_to_hex(keys[[8, 2]]), "step": [0, 1]})
    joined = log.join(frame, on="key", how="left", maintain_order="left")
    values = joined["image_embedding"].to_numpy()
    assert np.array_equal(values, columns["image_embedding"][[8, 2]])
