import pathlib
import tempfile

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from tar_writer import picture
from tar_writer import write_tar

from keras_jest.data import TarShards

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:TarShards skips"),
]

PICTURE = picture()


def read(names, **arguments):
    """The shards of one tar with members of these names."""
    data = {"png": PICTURE, "json": b"{}"}
    members = [
        (name, data.get(name.rpartition(".")[2], name.encode()))
        for name in names
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = write_tar(pathlib.Path(folder, "x.tar"), members)
        arguments = {"max_bad_share": 1.0, "verbose": 0} | arguments
        records = TarShards(path, **arguments)
        return records, {record["key"]: record["text"] for record in records}


# Of plain names, of names with dots, and of names with dots in a folder.
STEMS = ["k{}", "photo.{}", "a.b.{}", "v1.5/image.{}", "0.{}.input"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(STEMS),
            st.integers(0, 30),
            st.sampled_from(["png txt", "png txt json", "png", "txt"]),
        ),
        max_size=30,
        unique_by=lambda sample: sample[:2],
    ),
    st.booleans(),
)
def test_each_picture_with_a_name_of_its_own_is_kept_or_counted(found, zeros):
    """Whole pairs are read, whatever dots their names have."""
    width = 4 if zeros else 1
    samples = {
        stem.format(f"{number:0{width}}"): endings.split()
        for stem, number, endings in found
    }
    names = sorted(f"{key}.{end}" for key in samples for end in samples[key])
    records, texts = read(names)
    whole = {key for key in samples if {"png", "txt"} <= {*samples[key]}}
    assert texts == {key: f"{key}.txt" for key in whole}
    counted = [key for _, _, key in records.bad if key]
    assert len(counted) == len(set(counted)) and whole.isdisjoint(counted)
    lost = {key for key in samples if "png" in samples[key]} - whole
    assert lost <= set(counted) <= set(samples)


@pytest.mark.parametrize(
    "parts",
    [
        ["seg.png"],
        ["left.png", "right.png", "cls"],
        ["crop.png", "crop.json"],
        ["0001.png", "caption.txt"],
    ],
)
def test_parts_of_webdataset_samples_mean_what_they_meant(parts):
    endings = [*parts, "png", "txt"]
    names = [f"{key}.{end}" for key in ("000", "001") for end in endings]
    records, texts = read(names, max_bad_share=0)
    assert texts == {"000": "000.txt", "001": "001.txt"}
    assert not records.bad and not records.foreign_counts


def test_a_dotted_sample_has_parts_too():
    names = ["a.1.png", "a.1.seg.png", "a.1.txt", "a.1.json", "a.2.png"]
    names += ["a.2.txt"]
    records, texts = read(names, max_bad_share=0)
    assert list(texts) == ["a.1", "a.2"]


def test_pairs_within_another_sample_are_told():
    """Read as its parts, as WebDataset does: but not in silence."""
    with pytest.warns(UserWarning, match="2 pictures with captions"):
        records, texts = read(
            ["a.1.png", "a.1.txt", "a.2.png", "a.2.txt", "a.png", "a.txt"]
        )
    assert list(texts) == ["a"] and not records.bad
    assert records.foreign_counts == {"inner_pair": 2}
    # In a refused sample they are counted.
    records, _ = read(["a.1.png", "a.1.txt", "a.2.png", "a.2.txt", "a.png"])
    assert records.bad_counts == {"missing_caption": 3}


def test_a_refused_group_counts_its_pictures_and_names_their_endings():
    plain = [f"s{i}.{end}" for i in range(40) for end in ("png", "txt")]
    dotted = [f"p.{i}.{end}" for i in range(40) for end in ("png", "json")]
    with pytest.raises(ValueError, match="40 bad samples of 80.*'0.png'"):
        read(plain + dotted, max_bad_share=0.05)
    with pytest.raises(ValueError, match="2 bad samples of 2.*'gif'"):
        read(["a.gif", "a.txt", "b.gif", "b.txt"], max_bad_share=0.05)
    records, _ = read(["a.left.png", "a.right.png", "a.txt"])
    assert records.bad == [
        ("missing_image", "x.tar", "a.left"),
        ("missing_image", "x.tar", "a.right"),
    ]
