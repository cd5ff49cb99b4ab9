import builtins
import bz2
import errno
import gzip
import importlib
import lzma
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import tempfile

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tar_writer import sample
from tar_writer import write_tar

from keras_jest.data import TarShards
from keras_jest.data import unpack_shards

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:TarShards skips"),
]

PACKERS = {
    ".tar.gz": gzip.compress,
    ".tgz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
    # By its first bytes, whatever its name.
    ".tar": gzip.compress,
}
ZSTD = ("compression.zstd", "zstandard")
NUM_SAMPLES = 12


def shards(path, index, **arguments):
    arguments = {"max_bad_share": 0, "verbose": 0} | arguments
    return TarShards(path, index_path=index, **arguments)


def samples(start=0):
    return [m for n in range(start, start + NUM_SAMPLES) for m in sample(n)]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([*PACKERS]), st.floats(0, 1), st.booleans())
def test_packed_shards_are_read_as_far_as_they_go(ending, share, is_flipped):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        plain = write_tar(folder / "plain.tar", samples())
        data = PACKERS[ending](plain.read_bytes())
        place = round(share * len(data))
        path, index = folder / f"x{ending}", folder / "index.npz"
        path.write_bytes(data)
        whole = list(shards(path, index))
        expected = [r | {"shard": path.name} for r in shards(plain, None)]
        assert whole == expected
        flipped = bytes(byte ^ 255 for byte in data[place : place + 1])
        rest = flipped + data[place + 1 :]
        damaged = data[:place] + (rest if is_flipped else b"")
        path.write_bytes(damaged)
        records = shards(path, index, max_bad_share=1)
        for record in records:
            assert record in expected or is_flipped
        assert len(records) == NUM_SAMPLES or records.bad
        if damaged != data and len(damaged) > 16:
            # The check sum at the end is not known to be right.
            assert records.bad or is_flipped


def test_a_copy_is_made_once_and_again_when_its_shard_changes(tmp_path):
    path, index = tmp_path / "0.tar.gz", tmp_path / "index.npz"
    tar = write_tar(tmp_path / "0", samples()).read_bytes()
    path.write_bytes(gzip.compress(tar))
    folder = tmp_path / "index.npz.unpacked"

    def copies():
        return [(c.name, c.stat().st_mtime_ns) for c in folder.iterdir()]

    first = list(shards(path, index))
    (made,) = copies()
    assert list(shards(path, index)) == first and copies() == [made]
    # Without the index the copy serves, without the copy the index.
    index.unlink()
    assert list(shards(path, index)) == first and copies() == [made]
    (folder / made[0]).unlink()
    assert list(shards(path, index)) == first and len(copies()) == 1
    # A copy that was cut is none.
    os.truncate(folder / made[0], 1000)
    assert list(shards(path, index)) == first and len(copies()) == 1
    assert list(pickle.loads(pickle.dumps(shards(path, index)))) == first
    tar = write_tar(tmp_path / "0", samples(3)).read_bytes()
    path.write_bytes(gzip.compress(tar))
    assert shards(path, index)[0]["text"] == "caption 3"
    assert len(copies()) == 1


def test_a_folder_with_both_kinds_reads_both(tmp_path):
    write_tar(tmp_path / "0.tar", samples())
    tar = write_tar(tmp_path / "1", samples(50)).read_bytes()
    (tmp_path / "1.tar.gz").write_bytes(gzip.compress(tar))
    records = shards(tmp_path, tmp_path / "i")
    names = [record["shard"] for record in records]
    assert names == ["0.tar"] * NUM_SAMPLES + ["1.tar.gz"] * NUM_SAMPLES
    with pytest.raises(ValueError, match="`index_path` for compressed.*1.tar"):
        shards(tmp_path, None)


def test_what_a_killed_process_leaves_is_no_copy(tmp_path, monkeypatch):
    tar = write_tar(tmp_path / "1", samples()).read_bytes()
    path, index = tmp_path / "1.tar.gz", tmp_path / "i"
    path.write_bytes(gzip.compress(tar))

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(unpack_shards.os, "replace", die)
    monkeypatch.setattr(unpack_shards.os, "remove", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        shards(path, index)
    monkeypatch.undo()
    (left,) = (tmp_path / "i.unpacked").iterdir()
    left = left.rename(left.with_suffix(".1.part"))
    assert len(shards(path, index)) == NUM_SAMPLES
    assert left.exists()  # It may be a running process's.
    (copy,) = set((tmp_path / "i.unpacked").iterdir()) - {left}
    copy.unlink()
    os.utime(left, (0, 0))
    assert len(shards(path, index)) == NUM_SAMPLES
    assert not left.exists()


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    tar = write_tar(tmp_path / "1", samples()).read_bytes()
    path, index = tmp_path / "1.tar.gz", tmp_path / "i"
    path.write_bytes(gzip.compress(tar))

    def fsync(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(unpack_shards.os, "fsync", fsync)
    with pytest.raises(ValueError, match="Expected room.*No space left"):
        shards(path, index)
    assert list((tmp_path / "i.unpacked").iterdir()) == []


@pytest.mark.parametrize("module", ZSTD)
def test_zstd_is_read_by_what_is_there(tmp_path, monkeypatch, module):
    tar = write_tar(tmp_path / "0", samples()).read_bytes()
    path = tmp_path / "0.tar.zst"

    class Zstandard:
        """Of bytes that are only marked as packed."""

        @staticmethod
        def open(path, mode):
            file = builtins.open(path, mode)
            file.seek(4)
            return file

        class ZstdDecompressor:
            def stream_reader(self, file, read_across_frames, closefd):
                file.seek(4)
                return file

    path.write_bytes(b"\x28\xb5\x2f\xfd" + tar)
    for name in ZSTD:
        there = Zstandard if name == module else None
        monkeypatch.setitem(sys.modules, name, there)
    assert len(shards(path, tmp_path / "i")) == NUM_SAMPLES


def test_zstd_packed_by_the_real_program(tmp_path):
    if not shutil.which("zstd") or not any(map(has_module, ZSTD)):
        pytest.skip("needs zstd and a module that reads it")
    path = write_tar(tmp_path / "0.tar", samples())
    subprocess.run(["zstd", "-q", "--rm", path], check=True)
    assert len(shards(tmp_path, tmp_path / "i")) == NUM_SAMPLES


def has_module(name):
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def test_zstd_without_its_library_is_told(tmp_path, monkeypatch):
    path = tmp_path / "0.tar.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(600))
    for name in ZSTD:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match="zstandard.*0.tar.zst"):
        shards(path, tmp_path / "index.npz")
