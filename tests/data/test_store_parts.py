import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from store_writer import make_columns
from store_writer import make_keys
from store_writer import make_metadata

from keras_jest.data.record_key import keys_from_hex
from keras_jest.data.store_parts import check_part
from keras_jest.data.store_parts import read_part
from keras_jest.data.store_parts import write_part

pytestmark = pytest.mark.once
pyarrow = pytest.importorskip("pyarrow")


def write(path, num_rows=5, width=3, dtype="float16"):
    keys, columns = make_keys(num_rows), make_columns(num_rows, width, dtype)
    metadata = make_metadata(num_rows, num_rows, width, dtype)
    write_part(path, keys, columns, metadata)
    return keys, columns, metadata


@pytest.mark.parametrize(
    "width, dtype", [(3, "float16"), (8, "float32"), (None, "float32")]
)
@pytest.mark.parametrize("num_rows", [1, 77])
def test_a_part_is_read_as_it_was_written(tmp_path, num_rows, width, dtype):
    keys, columns, metadata = write(tmp_path / "0", num_rows, width, dtype)
    part = read_part(tmp_path / "0")
    check_part(tmp_path / "0", part)
    assert np.array_equal(keys_from_hex(part.columns["key"]), keys)
    assert {*part.columns} == {"key", *columns}
    for name, column in columns.items():
        assert part.columns[name].dtype == column.dtype
        assert np.array_equal(part.columns[name], column)
    assert part.metadata == {"format": 1, **metadata}


def test_columns_lie_in_the_mapped_file(tmp_path):
    path = tmp_path / "0"
    write(path, num_rows=1000)
    num_open = len(os.listdir("/proc/self/fd"))
    part = read_part(path)
    assert len(os.listdir("/proc/self/fd")) == num_open
    maps = [
        [int(end, 16) for end in line.split()[0].split("-")]
        for line in open("/proc/self/maps")
        if str(path) in line
    ]
    for column in part.columns.values():
        assert not column.flags.writeable
        start = column.ctypes.data
        assert any(a <= start <= start + column.nbytes <= b for a, b in maps)


def test_a_cut_part_is_never_read(tmp_path):
    write(tmp_path / "0", num_rows=1, width=1)
    whole = (tmp_path / "0").read_bytes()
    # Each byte of the end, and some of the rest: each of all was tried.
    for size in {*range(0, len(whole), 9), *range(len(whole) - 99, len(whole))}:
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(ValueError, match="damaged.*delete it.*cut"):
            read_part(tmp_path / "cut")


def test_a_changed_byte_is_found_or_changes_nothing(tmp_path):
    _, _, metadata = write(tmp_path / "0", num_rows=1, width=1)
    expected = read_part(tmp_path / "0").columns
    whole = (tmp_path / "0").read_bytes()
    num_found = 0
    for place in range(0, len(whole), 4):  # Each of all was tried.
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        (tmp_path / "1").write_bytes(changed)
        try:
            part = read_part(tmp_path / "1")
            check_part(tmp_path / "1", part)
        except ValueError:
            num_found += 1
        else:
            assert part.metadata == {"format": 1, **metadata}
            assert {*part.columns} == {*expected}
            for name, column in expected.items():
                assert part.columns[name].tobytes() == column.tobytes()
    # At least the values themselves: a key of 32 bytes, 2 float16.
    assert num_found >= (32 + 2 * 2) // 4


@pytest.mark.parametrize("bits", [0x01, 0x80])
def test_a_changed_value_is_found(tmp_path, bits):
    write(tmp_path / "0")
    start = read_part(tmp_path / "0").columns["text_embedding"].tobytes()
    data = bytearray((tmp_path / "0").read_bytes())
    data[data.index(start)] ^= bits
    (tmp_path / "0").write_bytes(data)
    part = read_part(tmp_path / "0")
    check_part(tmp_path / "0", part, ["key", "image_embedding"])
    with pytest.raises(ValueError, match="text_embedding.* has changed"):
        check_part(tmp_path / "0", part)


def test_a_part_has_no_name_before_it_is_whole(tmp_path, monkeypatch):
    def replace(old, new):
        check_part(old, read_part(old))
        assert not os.path.exists(new)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "0")
    assert not os.listdir(tmp_path)


def test_a_part_that_fails_leaves_the_older_one(tmp_path):
    keys, columns, metadata = write(tmp_path / "0")
    before = (tmp_path / "0").read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        bad = {**metadata, "logit_scale": float("nan")}
        write_part(tmp_path / "0", keys, columns, bad)
    assert (tmp_path / "0").read_bytes() == before
    assert os.listdir(tmp_path) == ["0"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"width": 4}, r"\(5, 4\)"),
        ({"dtype": "float32"}, "float32"),
        ({"width": None}, "'loss'"),
        ({"dtype": "int8"}, "dtype of float16 or float32"),
        ({"fingerprint": {"reference": "x"}}, "image_size"),
        ({"format": 7}, "format=7"),
    ],
)
def test_metadata_and_columns_agree(tmp_path, change, message):
    metadata = {**make_metadata(5, 5, 3), **change}
    with pytest.raises(ValueError, match=message):
        write_part(tmp_path / "0", make_keys(5), make_columns(5, 3), metadata)
    with pytest.raises(ValueError, match="keys of shape"):
        keys = np.zeros((5, 3), "int32")
        metadata = make_metadata(5, 5, 3)
        write_part(tmp_path / "0", keys, make_columns(5, 3), metadata)
    assert not os.listdir(tmp_path)


def test_what_is_no_part_is_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_part(tmp_path / "none")
    (tmp_path / "empty").touch()
    table = pyarrow.table({"key": ["a"]})
    with pyarrow.ipc.new_file(tmp_path / "other", table.schema) as writer:
        writer.write_table(table)
    for name in ("empty", "other"):
        with pytest.raises(ValueError, match=f"something else.*{name}"):
            read_part(tmp_path / name)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1))
def test_hex_keys_are_undone(digests):
    from keras_jest.data.record_key import keys_to_hex

    keys = np.frombuffer(b"".join(digests), "<i4").reshape(-1, 4)
    assert np.array_equal(keys_from_hex(np.array(keys_to_hex(keys))), keys)


def test_metadata_is_read_by_arrow_alone(tmp_path):
    _, _, metadata = write(tmp_path / "0")
    with pyarrow.memory_map(str(tmp_path / "0")) as file:
        schema = pyarrow.ipc.open_file(file).schema
    assert json.loads(schema.metadata[b"keras_jest_store"]) == {
        "format": 1,
        **metadata,
    }
