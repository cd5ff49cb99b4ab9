import json
import os
import pathlib
import pickle
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tar_writer import link
from tar_writer import picture
from tar_writer import png_that_claims
from tar_writer import sample
from tar_writer import write_tar

from keras_jest.data import TarShards
from keras_jest.data import decode_image
from keras_jest.data import record_key

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:TarShards skips"),
]

NESTED = b"[" * 200_000
WEBP = picture(format="WEBP")
JPEG = picture(format="JPEG", size=(64, 64))
FAULTS = {
    "missing_caption": [("b.png", picture())],
    "missing_image": [("b.txt", b"text")],
    "several_images": [
        ("b.png", picture()),
        ("b.jpg", JPEG),
        ("b.txt", b"text"),
    ],
    "empty_caption": [("b.png", picture()), ("b.txt", b" \n")],
    "caption_not_utf8": [("b.png", picture()), ("b.txt", b"caf\xe9")],
    "caption_too_long": [("b.png", picture()), ("b.txt", b"x" * 20_000)],
    "bad_json": [("b.png", picture()), ("b.txt", b"t"), ("b.json", NESTED)],
    "json_too_long": [
        ("b.png", picture()),
        ("b.txt", b"t"),
        ("b.json", b" " * (2**20 + 1)),
    ],
    "undecodable_image": [("b.webp", WEBP[:-9]), ("b.txt", b"text")],
    "too_many_pixels": [
        ("b.png", png_that_claims(60_000, 60_000)),
        ("b.txt", b"text"),
    ],
    "unsafe_name": [("a/../../b.png", picture()), ("a/../../b.txt", b"text")],
    "link": [link("b.png", "/etc/hostname"), ("b.txt", b"text")],
    "duplicate_key": sample(0),
    "not_a_sample": [("b.gif", b"GIF89a")],
}


def shards(path, **arguments):
    """The shards without a progress bar, whatever share is bad."""
    arguments = {"max_bad_share": 1.0, "verbose": 0} | arguments
    return TarShards(path, **arguments)


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_is_skipped_and_counted(tmp_path, kind):
    members = [*sample(0), *FAULTS[kind], *sample(1)]
    records = shards(write_tar(tmp_path / "x.tar", members))
    assert [r["text"] for r in records] == ["caption 0", "caption 1"]
    # What is counted is pictures.
    count = 2 if kind == "several_images" else 1
    assert records.bad_counts == {kind: count} and not records.lost
    _, shard, key = records.bad[0]
    name = FAULTS[kind][0]
    name = name.name if isinstance(name, tarfile.TarInfo) else name[0]
    assert shard == "x.tar" and name.startswith(key) and key


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"noise" * 99,
        JPEG[:-20],
        WEBP[: len(WEBP) // 2],
        picture()[:-30],
        b"GIF89a" + bytes(40),
    ],
)
def test_undecodable_pictures_are_found_before_training(tmp_path, data):
    members = [("a.jpg", data), ("a.txt", b"text"), *sample(0)]
    records = shards(write_tar(tmp_path / "x.tar", members))
    assert records.bad == [("undecodable_image", "x.tar", "a")]
    assert len(records) == 1


@pytest.mark.parametrize("fields", [b"[]", b"", b"{", b"\xff", b"1"])
def test_json_that_is_no_object_is_bad(tmp_path, fields):
    members = [*sample(0), ("s0.json", fields)]
    records = shards(write_tar(tmp_path / "x.tar", members))
    assert records.bad_counts == {"bad_json": 1}


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../x", "..\\x", "C:\\x", "C:/x", "a/.."]
)
def test_unsafe_names(tmp_path, name):
    members = [(f"{name}.png", picture()), (f"{name}.txt", b"text")]
    records = shards(write_tar(tmp_path / "x.tar", members))
    assert set(records.bad_counts) <= {"unsafe_name", "not_a_sample"}
    assert len(records) == 0 and records.bad


def test_a_record(tmp_path):
    members = [
        ("./a/b.JPEG", JPEG),
        ("./a/b.txt", "  ein Café\n".encode()),
        ("./a/b.json", b'{"n": [1]}'),
        ("./a/b.npy", b"never read"),
        ("./c.webp", WEBP),
        ("./c.txt", b"c"),
    ]
    records = shards(write_tar(tmp_path / "x.tar", members), max_bad_share=0)
    assert len(records) == 2 and not records.bad
    assert records[0] == {
        "image": JPEG,
        "text": "ein Café",
        "json": {"n": [1]},
        "key": "a/b",
        "shard": "x.tar",
    }
    assert records[1]["json"] == {}
    assert records[-1] == records[np.int64(1)]
    with pytest.raises(IndexError):
        records[2]
    assert list(pickle.loads(pickle.dumps(records))) == list(records)


def test_long_names_of_gnu_and_pax(tmp_path):
    stem = "folder/" + "long" * 40 + "é"
    members = [(f"{stem}.png", picture()), (f"{stem}.txt", b"text")]
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = write_tar(tmp_path / f"{format}.tar", members, format)
        assert [record["key"] for record in shards(path)] == [stem]


def test_folders_patterns_and_lists(tmp_path):
    for folder in ("p", "q"):
        (tmp_path / folder).mkdir()
        for number in (1, 0):
            path = tmp_path / folder / f"{number}.tar"
            write_tar(path, sample(number))
    one = shards(tmp_path / "p")
    assert [r["text"] for r in one] == ["caption 0", "caption 1"]
    assert [r["shard"] for r in one] == ["0.tar", "1.tar"]
    both = shards([str(tmp_path / "q/*.tar"), tmp_path / "p"])
    assert [r["shard"] for r in both] == [
        "q/0.tar",
        "q/1.tar",
        "p/0.tar",
        "p/1.tar",
    ]
    # A shard that is named twice is read once.
    assert len(shards([tmp_path / "p", tmp_path / "p/0.tar"])) == 2
    assert len({bytes(key) for key in both.keys}) == 4
    for key, record in zip(both.keys, both, strict=True):
        expected = record_key(record["key"], record["shard"])
        np.testing.assert_array_equal(key, expected)
    with pytest.raises(ValueError, match="none_here"):
        shards(tmp_path / "none_here*.tar")


def test_too_many_bad_are_an_error_with_counts_and_examples(tmp_path):
    good = [member for number in range(9) for member in sample(number)]
    bad = [("bad.png", b"noise"), ("bad.txt", b"text")]
    path = write_tar(tmp_path / "x.tar", good + bad)
    with pytest.raises(ValueError, match="undecodable_image.*'x.tar', 'bad'"):
        shards(path, max_bad_share=0.09)
    with pytest.warns(UserWarning, match="skips 1 bad"):
        assert len(shards(path, max_bad_share=0.1)) == 9
    with pytest.raises(ValueError, match="max_bad_share=5"):
        shards(path, max_bad_share=5)


def test_max_pixels(tmp_path):
    path = write_tar(tmp_path / "x.tar", sample(0))
    assert len(shards(path, max_pixels=12 * 8)) == 1
    assert shards(path, max_pixels=95).bad_counts == {"too_many_pixels": 1}


def test_a_fingerprint_is_that_of_the_records(tmp_path):
    """Wherever the shards lie, and whenever they were written."""
    prints = []
    for folder, numbers in (("a", [0, 1]), ("b", [0, 1]), ("c", [0, 2])):
        (tmp_path / folder).mkdir()
        members = [member for number in numbers for member in sample(number)]
        path = write_tar(tmp_path / folder / "x.tar", members)
        prints.append(TarShards(path, verbose=0).fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_an_index_is_kept_and_made_again_when_a_shard_changes(tmp_path):
    path = write_tar(tmp_path / "x.tar", [*sample(0), ("b.txt", b"b")])
    index = tmp_path / "a new folder" / "index.npz"
    first = shards(path, index_path=index)
    written = index.stat().st_mtime_ns
    again = shards(path, index_path=index)
    assert list(again) == list(first) and again.bad == first.bad
    assert index.stat().st_mtime_ns == written
    # The share is checked for a kept index too.
    with pytest.raises(ValueError, match="missing_image"):
        shards(path, index_path=index, max_bad_share=0.1)
    assert len(shards(path, index_path=index, max_pixels=1)) == 0
    write_tar(path, [*sample(0), *sample(1), *sample(2)])
    assert len(shards(path, index_path=index)) == 3
    assert list(index.parent.iterdir()) == [index]


def test_an_index_of_another_version_is_made_anew(tmp_path):
    path, index = write_tar(tmp_path / "x.tar", sample(0)), tmp_path / "i.npz"
    shards(path, index_path=index)
    with np.load(index) as arrays:
        arrays = dict(arrays)
    header = json.loads(arrays["header"].tobytes())
    header["format"] = "keras_jest.data.TarShards 1"
    del header["report"]
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), "uint8")
    np.savez(index, **arrays)
    assert len(shards(path, index_path=index)) == 1
    with np.load(index) as arrays:
        assert b"TarShards 2" in arrays["header"].tobytes()


@pytest.mark.parametrize("pickled", [True, False])
def test_another_file_as_index_is_neither_trusted_nor_lost(tmp_path, pickled):
    path = write_tar(tmp_path / "x.tar", sample(0))
    index = tmp_path / "mine.npz"
    if pickled:
        header = np.array([{"format": "object"}], dtype=object)
        np.savez(index, header=header, allow_pickle=True)
    else:
        index.write_bytes(b"something dear to the user")
    before = index.read_bytes()
    with pytest.raises(ValueError, match="mine.npz"):
        shards(path, index_path=index)
    assert index.read_bytes() == before


def test_a_shard_that_changes_after_indexing_is_named(tmp_path):
    path = write_tar(tmp_path / "x.tar", sample(0))
    records = shards(path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ValueError, match="x.tar"):
        records[0]
    path.unlink()
    with pytest.raises(ValueError, match="x.tar"):
        records[0]


def test_a_shard_that_cannot_be_opened_is_counted(tmp_path):
    write_tar(tmp_path / "a.tar", sample(0))
    os.mkdir(tmp_path / "b.tar")
    os.symlink(tmp_path / "gone", tmp_path / "c.tar")
    assert shards(tmp_path).bad == [
        ("unreadable_shard", "b.tar", ""),
        ("unreadable_shard", "c.tar", ""),
    ]


NUM_BLOCKS = 16


@st.composite
def damages(draw):
    """Bytes to change, and a length to cut to or a hole of zero blocks.

    The hole ends before the last block and there is no cut behind it: zeros
    up to the end are the end of a sound, shorter archive.
    """
    size = NUM_BLOCKS * 512
    flip = st.tuples(st.integers(0, size - 1), st.integers(0, 255))
    flips = draw(st.lists(flip, max_size=12))
    if draw(st.booleans()):
        return flips, draw(st.integers(0, size)), (0, 0)
    start = draw(st.integers(0, NUM_BLOCKS - 1))
    return flips, None, (start, draw(st.integers(start, NUM_BLOCKS - 1)))


SOUND = [member for number in range(4) for member in sample(number)]
ARCHIVE_FAULTS = {
    "broken_header",
    "truncated_shard",
    "unreadable_shard",
    "zeroed_blocks",
}


def untouched(path, data):
    """The keys of the samples of a sound tar whose bytes are all in `data`."""
    whole = path.read_bytes()
    touched = set()
    with tarfile.open(path) as tar:
        for member in tar:
            end = member.offset_data + member.size
            if whole[member.offset : end] != data[member.offset : end]:
                touched.add(member.name.partition(".")[0])
    return {f"s{number}" for number in range(4)} - touched


@settings(max_examples=100, deadline=None)
@given(damages())
def test_damaged_shards_lose_nothing_uncounted(damage):
    flips, cut, (start, stop) = damage
    with tempfile.TemporaryDirectory() as folder:
        path = write_tar(pathlib.Path(folder, "x.tar"), SOUND)
        data = bytearray(path.read_bytes())
        for place, value in flips:
            data[place] = value
        data[start * 512 : stop * 512] = bytes((stop - start) * 512)
        intact = untouched(path, data[:cut])
        path.write_bytes(data[:cut])
        records = shards(path)
        kept = {record["key"] for record in records}
        for record in records:
            assert record["text"]
            assert decode_image(record["image"], 4).shape == (4, 4, 3)
        assert os.listdir(folder) == ["x.tar"]
    assert intact <= kept
    counted = {key for _, _, key in records.bad}
    lost = {f"s{number}" for number in range(4)} - kept - counted
    assert not lost or ARCHIVE_FAULTS & set(records.bad_counts)


def test_huge_claims_take_no_memory(tmp_path):
    """In a process of its own, whose memory ends at 1 GiB over its start."""
    width = 16_383 - 1
    size = width.to_bytes(3, "little")
    frame = WEBP[12:]
    extended = b"VP8X" + (10).to_bytes(4, "little") + bytes(4) + size + size
    webp = b"WEBP" + extended + frame
    webp = b"RIFF" + len(webp).to_bytes(4, "little") + webp
    members = [
        ("a.png", png_that_claims(60_000, 60_000)),
        ("a.txt", b"a"),
        ("b.webp", webp),
        ("b.txt", b"b"),
        *sample(0),
    ]
    path = write_tar(tmp_path / "x.tar", members)
    code = (
        "import resource, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "from keras_jest.data import TarShards\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "r = TarShards(sys.argv[1], max_bad_share=1, verbose=0)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "sys.stdout.write(f'{len(r)} {len(r.bad)} {(after - before) // 1024}')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, os.fspath(path)],
        capture_output=True,
        check=True,
        text=True,
    )
    kept, bad, megabytes = map(int, result.stdout.split())
    assert (kept, bad) == (1, 2)
    assert megabytes < 100


def test_the_broken_shards(shared_data):
    folder = shared_data / "broken_shards"
    expected = json.loads((folder / "expected.json").read_text())
    captions, least, most = [], 0, 0
    for name in sorted(expected):
        records = shards(folder / name)
        texts = [record["text"] for record in records]
        assert texts == expected[name]["kept_captions"], name
        fewest, largest = expected[name]["skipped"]
        assert fewest <= len(records.bad) <= largest, name
        assert all(shard == name for _, shard, _ in records.bad)
        captions, least, most = captions + texts, least + fewest, most + largest
    together = shards(folder)
    assert [record["text"] for record in together] == captions
    assert least <= len(together.bad) <= most
    with pytest.raises(ValueError, match="zero_bytes"):
        shards(folder / "zero_bytes.tar", max_bad_share=0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, size", [("pictograms", 12_695), ("pictograms_web30", 20_000)]
)
def test_the_shared_shards_are_sound(shared_data, name, size):
    records = shards(shared_data / name, max_bad_share=0)
    assert len(records) == size and not records.bad
    assert len({bytes(key) for key in records.keys}) == size


def test_one_shared_shard_is_sound(shared_data):
    path = shared_data / "pictograms" / "curated-00001.tar"
    records = shards(path, max_bad_share=0)
    assert len(records) == 354
    assert records[0]["json"]["vendor"] in records[0]["key"]
