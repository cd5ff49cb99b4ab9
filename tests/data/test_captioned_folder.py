"""What is wrong with a folder is counted and named, picture by picture."""

import os

import pytest
from own_files import write_pairs
from tar_writer import picture
from tar_writer import write_tar

from keras_jest.data import CaptionedFolder

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:CaptionedFolder skips"),
]
PNG = picture()
FAULTS = {
    "missing_caption": {"c.png": PNG},
    "missing_image": {"c.txt": b"text"},
    "several_images": {"c.png": PNG, "c.JPG": PNG, "c.txt": b"text"},
    "several_captions": {"c.png": PNG, "c.txt": b"x", "c.TXT": b"y"},
    "not_a_sample": {"c.gif": b"GIF89a"},
    "undecodable_image": {"c.png": PNG[:-30], "c.txt": b"text"},
    "empty_caption": {"c.png": PNG, "c.txt": b" \n"},
    "caption_not_utf8": {"c.png": PNG, "c.txt": b"caf\xe9"},
    "caption_too_long": {"c.png": PNG, "c.txt": b"x" * 20_000},
    "bad_json": {"c.png": PNG, "c.txt": b"text", "c.json": b"{"},
}


def read(path, **arguments):
    arguments = {"max_bad_share": 1, "verbose": 0, **arguments}
    return CaptionedFolder(path, **arguments)


def write(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def keys(records):
    return [record["key"] for record in records]


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_is_skipped_and_counted(kind, tmp_path):
    write(write_pairs(tmp_path, 2) / "a", FAULTS[kind])
    with pytest.warns(UserWarning, match=f"CaptionedFolder skips.*{kind}"):
        records = read(tmp_path)
    count = 2 if kind == "several_images" else 1  # Pictures are counted.
    assert records.bad_counts == {kind: count}
    assert keys(records) == ["a/0", "b/0"] and records.foreign_counts == {}
    assert records.bad[0].key.startswith("a/c")
    with pytest.raises(ValueError, match=f"Mend the files.*{kind}"):
        read(tmp_path, max_bad_share=0.3)


def test_endings_and_dots(tmp_path):
    files = {
        "A.PNG": PNG,
        "A.TXT": b"\xef\xbb\xbfone \n",
        "v1.2.final.jpeg": picture(format="JPEG"),
        "v1.2.final.txt": "zwö".encode(),
        "v1.2.webp": picture(format="WEBP"),
        "v1.2.txt": b"three",
        "deep/er/x.png": PNG,
        "deep/er/x.txt": b"four",
    }
    records = read(write(tmp_path, files), max_bad_share=0)
    assert keys(records) == ["A", "deep/er/x", "v1.2", "v1.2.final"]
    assert [of["text"] for of in records] == ["one", "four", "three", "zwö"]
    assert records.column("folder") == ["", "deep/er", "", ""]


def test_what_a_system_left_is_not_bad(tmp_path):
    files = {
        "README.txt": b"read me",
        "index.npz": b"",
        "captions.csv": b"",
        ".DS_Store": b"",
        "._a.png": b"",
        ".git/a.png": b"",
        "@eaDir/a/0.png": b"",
    }
    records = read(write(write_pairs(tmp_path), files), max_bad_share=0)
    assert len(records) == 6
    counts = {"side_file": 3, "hidden": 2, "system": 2}
    assert records.foreign_counts == counts


def test_links_are_followed_but_not_in_circles(tmp_path):
    write_pairs(tmp_path / "x", 2)
    write_pairs(tmp_path / "y", 2)
    (tmp_path / "x" / "c").symlink_to(tmp_path / "y" / "a")
    (tmp_path / "x" / "a" / "up").symlink_to(tmp_path / "x")
    (tmp_path / "x" / "self").symlink_to("self")
    (tmp_path / "x" / "d.png").symlink_to(tmp_path / "y" / "b" / "0.png")
    (tmp_path / "x" / "d.txt").symlink_to(tmp_path / "y" / "b" / "0.txt")
    (tmp_path / "x" / "e.png").symlink_to(tmp_path / "none.png")
    (tmp_path / "x" / "e.txt").write_text("text")
    records = read(tmp_path / "x")
    assert keys(records) == ["a/0", "b/0", "c/0", "d"]
    assert records.bad == [("missing_image", "x", "e")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(write_pairs(tmp_path, 2) / "p.png")
    (tmp_path / "p.txt").write_text("text")
    assert read(tmp_path).bad == [("not_a_file", tmp_path.name, "p")]


def test_names_that_are_no_utf8(tmp_path):
    folder = os.fsencode(write_pairs(tmp_path, 2))
    for ending, data in ((b".png", PNG), (b".txt", b"text"), (b"2.png", PNG)):
        with open(os.path.join(folder, b"caf\xe9" + ending), "wb") as file:
            file.write(data)
    records = read(tmp_path, index_path=tmp_path / "i.npz")
    assert keys(records) == ["a/0", "b/0", "caf\\udce9"]
    assert records[2]["image"] == PNG
    assert records.bad == [("missing_caption", tmp_path.name, "caf\\udce92")]
    assert read(tmp_path, index_path=tmp_path / "i.npz").bad == records.bad


def test_folders_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="CaptionTable.*which is none"):
        read(tmp_path / "none")
    with pytest.raises(ValueError, match="side texts.*a folder without:"):
        read(tmp_path)
    write_tar(tmp_path / "0.tar", [("0.png", PNG)])
    with pytest.raises(ValueError, match="tar files, which `TarShards`"):
        read(tmp_path)
    with pytest.raises(ValueError, match="'key' or a field.*identity=3"):
        read(write_pairs(tmp_path), identity=3)
