"""What is wrong with a table is counted, named, and told in words."""

import gzip
import warnings

import pyarrow
import pytest
from own_files import structs
from own_files import write_pairs
from pyarrow import parquet
from tar_writer import picture
from tar_writer import png_that_claims

from keras_jest.data import CaptionTable
from keras_jest.data import table_files

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:CaptionTable skips"),
]


def read(path, **arguments):
    return CaptionTable(path, **{"max_bad_share": 1, "verbose": 0, **arguments})


def write_csv(folder, data, name="pairs.csv"):
    write_pairs(folder, 4)
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def texts(records):
    return [record["text"] for record in records]


@pytest.mark.parametrize(
    "data",
    [
        "filepath,title\na/0.png,one\nb/0.png,two\n",
        "\ufefffilepath,title\r\na/0.png,one\r\nb/0.png,two\r\n",
        "filepath\ttitle\na/0.png\tone\nb/0.png\ttwo\n",
        "title;image\none;a/0.png\n\ntwo;./b/0.png",
        "filepath,title\ra/0.png,one\rb/0.png,two\r",  # As old Macs wrote.
        '"a, b",title,filepath\nx,one,a/0.png\n"y\nz",two,b//0.png\n',
        "image|text\na/0.png|one\nb/0.png|two\n".encode("utf-16"),
    ],
)
def test_every_csv_is_read(data, tmp_path):
    records = read(write_csv(tmp_path, data), max_bad_share=0)
    assert texts(records) == ["one", "two"]
    assert [record["key"] for record in records] == ["a/0.png", "b/0.png"]


def test_captions_are_kept_as_they_are(tmp_path):
    rows = [
        'a/0.png,"a ""b"", c\nd",007',
        "b/0.png,NULL,",
        'a/1.png,3" x,"y\nz"',
    ]
    data = "\n".join(["image,text,n", *rows])
    records = read(write_csv(tmp_path, data), max_bad_share=0)
    assert texts(records) == ['a "b", c\nd', "NULL", '3" x']
    assert records.column("n") == ["007", "", "y\nz"]


CSV_FAULTS = {
    "missing_image": b"a/none.png,x",
    "remote_image": b"https://a.org/0.png,x",
    "not_a_file": b"a,x",
    "undecodable_image": b"a/broken.png,x",
    "too_many_pixels": b"a/large.png,x",
    "empty_caption": b"b/0.png, ",
    "caption_not_utf8": b"b/0.png,caf\xe9",
    "caption_too_long": b"b/0.png," + b"x" * 20_000,
    "duplicate_key": b"./a/0.png,one",
    "bad_row": b"b/0.png,one,two",
}


@pytest.mark.parametrize("kind", CSV_FAULTS)
def test_each_fault_is_skipped_and_counted(kind, tmp_path):
    lines = [b"image,text", b"a/0.png,one", CSV_FAULTS[kind], b"a/1.png,two"]
    path = write_csv(tmp_path, b"\n".join(lines))
    (tmp_path / "a" / "broken.png").write_bytes(picture()[:-30])
    (tmp_path / "a" / "large.png").write_bytes(png_that_claims(60_000, 60_000))
    with pytest.warns(UserWarning, match=f"skips 1 bad.*{kind}") as caught:
        records = read(path, index_path=tmp_path / "i.npz")
    assert caught[0].filename == __file__  # Where the class was called.
    assert texts(records) == ["one", "two"]
    assert records.bad_counts == {kind: 1}
    ((_, name, key),) = records.bad
    assert name == "pairs.csv" and key
    again = read(path, index_path=tmp_path / "i.npz")
    assert again.bad == records.bad
    with pytest.raises(ValueError, match=f"max_bad_share=0.3.*{kind}"):
        read(path, max_bad_share=0.3)


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_a_bad_row_may_be_the_last(end, tmp_path):
    """Behind a value of several lines, whose quote is closed."""
    data = f'image,text\n\na/0.png,x\n\na/1.png,"y\nz"\nb/0.png,x,x{end}'
    records = read(write_csv(tmp_path, data))
    assert texts(records) == ["x", "y\nz"]
    assert records.bad == [("bad_row", "pairs.csv", "row 4")]
    data = f'image,text\nb/0.png,x,x\na/0.png,"y\nb/1.png,x{end}'
    if end:  # Else the open quote ends where the file does.
        data = data.replace("x,x", '"x\nx",x')
    with pytest.raises(ValueError, match="quote is open"):
        read(write_csv(tmp_path, data))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_bad_row_that_is_no_utf8_is_one_bad_row(mark, tmp_path, capfd):
    rows = ["text,image,caf\u00e9", "\u2603,a/0.png,\u00e9", "\u00ff,b/0.png,"]
    rows = [row.encode() for row in rows]
    rows.insert(2, b"caf\xe9, nice,a/1.png,")
    records = read(write_csv(tmp_path, mark + b"\n".join(rows)))
    assert texts(records) == ["\u2603", "\u00ff"]
    assert records[0]["json"] == {"caf\u00e9": "\u00e9"}
    assert records.bad == [("bad_row", "pairs.csv", "row 3")]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_no_row_is_lost_in_a_file_that_is_no_utf8(tmp_path):
    data = "image,text\na/0.png,caf\u00e9\na/1.png,x, \u00e9\nb/0.png,x\n"
    records = read(write_csv(tmp_path, data.encode("latin-1")))
    assert texts(records) == ["x"]
    assert records.bad_counts == {"caption_not_utf8": 1, "bad_row": 1}


@pytest.mark.parametrize("with_pixels", [True, False])
def test_pixels_are_checked_unless_told(with_pixels, tmp_path):
    path = write_csv(tmp_path, "image,text\na/0.png,x\na/1.png,y\nz.png,z\n")
    (tmp_path / "a" / "0.png").write_bytes(picture()[:-30])
    (tmp_path / "a" / "1.png").write_bytes(b"")
    records = read(path, check_pixels=with_pixels)
    undecodable = 2 if with_pixels else 1  # An empty file is none in any case.
    counts = {"undecodable_image": undecodable, "missing_image": 1}
    assert records.bad_counts == counts


def test_a_picture_with_several_captions_is_several_records(tmp_path):
    """As in Flickr30k and COCO; the order of rows means nothing."""
    rows = ["a/0.png,one", "a/0.png,two", "b/0.png,one", "a/0.png,three"]
    one = read(write_csv(tmp_path / "x", "\n".join(["image,text", *rows])))
    rows = ["image,text", *rows[::-1]]
    other = read(write_csv(tmp_path / "y", "\n".join(rows)))
    assert not one.bad and len({record["key"] for record in one}) == 4
    assert one[2]["key"] == "b/0.png" and one[0]["key"].startswith("a/0.png#")
    by_text = [
        {(record["text"], record["key"]) for record in records}
        for records in (one, other)
    ]
    assert by_text[0] == by_text[1]


def test_paths_begin_where_they_are_told(tmp_path):
    """Absolute ones within the folder are the same pictures."""
    write_pairs(tmp_path / "images")
    path = tmp_path / "pairs.csv"
    path.write_text("image,text\na/0.png,x\n")
    with pytest.warns(UserWarning, match=f"begin in `folder`, '{tmp_path}'"):
        assert read(path).bad_counts == {"missing_image": 1}
    relative = read(path, folder=tmp_path / "images")
    path.write_text(f"image,text\n{tmp_path}/images/a/0.png,x\n")
    absolute = read(path, folder=tmp_path / "images")
    beside = read(path)
    assert relative[0] == absolute[0] and absolute[0]["key"] == "a/0.png"
    assert beside[0]["key"] == "images/a/0.png"


def test_parquet_of_bytes(tmp_path):
    """Also where two have one name, or a value is kept once."""
    images = [picture(row, size=(row + 8, 8)) for row in range(4)]
    captions = pyarrow.array(["x", "y", "x", None]).dictionary_encode()
    mask = pyarrow.array([b"0"] * 4)
    tables = {
        "bytes": pyarrow.array(images),
        "large": pyarrow.array(images, pyarrow.large_binary()),
        "structs": structs(images),
        "named": structs(images, ["0.png"] * 4),
    }
    keys = []
    for name, column in tables.items():
        path = tmp_path / f"{name}.parquet"
        columns = {"image": column, "text": captions, "mask": mask}
        table = pyarrow.table({**columns, "n": [1, 2, None, 4]})
        parquet.write_table(table, path, row_group_size=1)
        records = read(path)
        assert [record["image"] for record in records] == images[:3]
        assert texts(records) == ["x", "y", "x"]
        assert [of["json"] for of in records] == [
            {"n": 1},
            {"n": 2},
            {"n": None},
        ]
        assert records.bad_counts == {"missing_caption": 1}
        keys.append([record["key"].split("#")[-1] for record in records])
        assert len(set(keys[-1])) == 3
    assert keys[0] == keys[1] == keys[2] == keys[3]


def test_several_files_are_one_table(tmp_path):
    write_pairs(tmp_path)
    for row in range(3):
        path = tmp_path / f"{row}.parquet"
        names = [f"a/{row}.png", f"b/{row}.png"]
        table = pyarrow.table({"image": names, "text": [f"{row}", "x"]})
        parquet.write_table(table, path)
    records = read(tmp_path / "*.parquet", index_path=tmp_path / "i.npz")
    assert texts(records) == ["0", "x", "1", "x", "2", "x"]
    parquet.write_table(pyarrow.table({"image": ["x"], "text": [1]}), path)
    with pytest.raises(ValueError, match="same columns.*2.parquet.*'text'"):
        read(tmp_path / "*.parquet")


def test_categories_differ_between_files(tmp_path, monkeypatch):
    """As pandas writes them, each file and row group with its own."""
    monkeypatch.setattr(table_files, "BATCH_ROWS", 1)
    write_pairs(tmp_path)
    for row, captions in enumerate([["x", "y"], ["z", "x"]]):
        columns = {
            "image": [f"a/{row}.png", f"b/{row}.png"],
            "text": pyarrow.array(captions).dictionary_encode(),
            "n": pyarrow.array([row, None]).dictionary_encode(),
        }
        path = tmp_path / f"{row}.parquet"
        parquet.write_table(pyarrow.table(columns), path, row_group_size=1)
    for index_path in (None, tmp_path / "i.npz", tmp_path / "i.npz"):
        records = read(tmp_path / "*.parquet", index_path=index_path)
        assert texts(records) == ["x", "y", "z", "x"]
        assert records.column("n") == [0, None, 1, None]


def test_a_large_parquet_file_needs_an_index(tmp_path, monkeypatch):
    monkeypatch.setattr(table_files, "MOST_IN_MEMORY", 100)
    table = pyarrow.table({"image": [picture()] * 2, "text": ["a", "b"]})
    parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="index_path=None"):
        read(tmp_path / "x.parquet")
    assert len(read(tmp_path / "x.parquet", index_path=tmp_path / "i")) == 2


@pytest.mark.parametrize(
    "data, arguments, match",
    [
        ("img,text\n", {"image": "picture"}, r"picture.*\['img', 'text'\]"),
        ("x,text\n", {}, r"`image`.*'filepath'.*\['x', 'text'\]"),
        ("img,path,text\n", {}, r"\['path', 'img'\] could be meant"),
        ("image,text\n", {"caption": "image"}, "two columns"),
        ("image,text\n", {}, "with rows"),
        ("image,text\na/0.png,x\n", {"identity": "uid"}, "`identity`.*'uid'"),
        ("image,text\na/0.png,x\n", {"max_bad_share": 2}, "max_bad_share=2"),
        ("", {}, "columns"),
        ('image,text\na,"x\na/1.png,y\nb/1.png,z\n', {}, "quote.* is closed"),
        ('image,text\n"a,x\na/1.png,y\nb/1.png,z\n', {}, "quote.* is closed"),
    ],
)
def test_tables_that_are_none(data, arguments, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        read(write_csv(tmp_path, data), **arguments)


def test_files_that_are_no_csv(tmp_path):
    """The message is of the file, and says what to do."""
    match = "Expected a whole CSV.*to_csv.*"
    path = write_csv(tmp_path, f'{{"text": "{"x" * 200_000}"}}', "x.json")
    with pytest.raises(ValueError, match=match + "x.json.*field larger"):
        read(path)
    rows = "".join(f"a/{row}.png,{row**9}\n" for row in range(999))
    whole = gzip.compress(f"image,text\n{rows}".encode())
    path = write_csv(tmp_path, whole[:-100], "x.csv.gz")
    with pytest.raises(ValueError, match=match + "x.csv.gz.*Truncated"):
        read(path)
    path = write_csv(tmp_path, "image,text\na,x".encode("utf-16") + b"\0")
    with pytest.raises(ValueError, match=match + "utf-16"):
        read(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="CaptionedFolder.*a folder"):
        read(tmp_path)
    with pytest.raises(ValueError, match="which is none"):
        read(tmp_path / "none.csv")
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="whole parquet"):
        read(tmp_path / "x.parquet")
    columns = {"image": [1, 2], "text": ["a", "b"]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="'image' of type int64"):
        read(tmp_path / "x.parquet")
    columns = {"image": ["a", "b"], "text": [["a"], ["b", "c"]]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="explode.*'text' of type list"):
        read(tmp_path / "x.parquet")


def test_addresses_are_told_apart_from_paths(tmp_path):
    path = write_csv(tmp_path, "image,text\nhttps://a.org/0.png,x\n")
    with pytest.raises(ValueError, match="'https://a.org/0.png'.*img2dataset"):
        read(path, max_bad_share=0)


def test_a_sound_table_says_nothing(tmp_path):
    path = write_csv(tmp_path, "image,text\na/0.png,x\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read(path)) == 1
