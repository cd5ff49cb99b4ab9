"""Datasets of Hugging Face, by what is read of them, and by themselves."""

import pickle

import pyarrow
import pytest
from own_files import Dataset
from own_files import structs
from own_files import write_pairs
from tar_writer import picture

from keras_jest.data import HuggingFaceRecords

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:HuggingFaceRecords skips"),
]


def read(dataset, **arguments):
    return HuggingFaceRecords(dataset, verbose=0, **arguments)


def test_rows_in_another_order_are_the_same_records():
    images = [picture(row, size=(row + 8, 8)) for row in range(5)]
    table = pyarrow.table({"image": structs(images), "text": list("abcde")})
    one = read(Dataset(table))
    other = read(Dataset(table.take([4, 2, 0])))
    assert [one.keys[row].tolist() for row in (4, 2, 0)] == other.keys.tolist()
    assert one.fingerprint != other.fingerprint


def test_absolute_paths_are_named_by_what_differs(tmp_path):
    for name in ("one", "two"):
        folder = write_pairs(tmp_path / name / "train")
        paths = [str(folder / of / "0.png") for of in "ab"]
        column = structs([None, None], paths)
        table = pyarrow.table({"image": column, "text": ["x", "y"]})
        records = read(Dataset(table))
        assert [record["key"] for record in records] == ["a/0.png", "b/0.png"]


def test_an_index_is_of_one_dataset(tmp_path):
    table = pyarrow.table(
        {"image": structs([picture()] * 2), "text": ["x"] * 2}
    )
    index = tmp_path / "i.npz"
    one = read(Dataset(table), index_path=index, max_bad_share=1)
    assert one.bad_counts == {"duplicate_key": 1}
    other = Dataset(table[:1], fingerprint="other")
    assert not read(other, index_path=index).bad


@pytest.mark.parametrize(
    "dataset, match",
    [
        ({"train": 1, "test": 2}, r"one split.*\['test', 'train'\]"),
        ([1, 2], "list of dicts.*a list"),
        (type("Streamed", (), {"with_format": 1})(), "streaming=True"),
    ],
)
def test_what_is_no_dataset(dataset, match):
    with pytest.raises(ValueError, match=match):
        read(dataset)


def test_the_real_package(tmp_path):
    # Without it, `datasets` is a folder of these tests.
    pytest.importorskip("datasets.arrow_dataset")
    import datasets

    folder = write_pairs(tmp_path / "train", 4)
    lines = [f"{of}/{row}.png,{of}{row}" for of in "ab" for row in range(2)]
    text = "\n".join(["file_name,text", *lines])
    (folder / "metadata.csv").write_text(text)
    dataset = datasets.load_dataset(
        "imagefolder",
        data_dir=str(tmp_path),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    records = read(dataset, index_path=tmp_path / "i.npz")
    names = ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    assert sorted(record["key"] for record in records) == names
    for record in records:
        assert record["image"] == (folder / record["key"]).read_bytes()
        assert record["key"] == f"{record['text'][0]}/{record['text'][1]}.png"
    mixed = read(dataset.shuffle(seed=1))
    assert sorted(mixed.keys.tolist()) == sorted(records.keys.tolist())
    again = pickle.loads(pickle.dumps(mixed))
    assert list(again) == list(mixed)
    rows = {"image": [of["image"] for of in dataset], "caption": list("abcd")}
    features = {"image": datasets.Image(), "caption": datasets.Value("string")}
    inside = datasets.Dataset.from_dict(rows, datasets.Features(features))
    assert len(read(inside)) == 4
    with pytest.raises(ValueError, match="one split"):
        read(datasets.DatasetDict(train=dataset))
    with pytest.raises(ValueError, match="streaming"):
        read(dataset.to_iterable_dataset())
