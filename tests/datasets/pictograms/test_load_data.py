import json
import pathlib

import numpy as np
import pytest

from keras_jest.data import record_key
from keras_jest.datasets import pictograms
from keras_jest.datasets.pictograms.load_data import load_images

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[3]
FILES = ROOT / "keras_jest" / "datasets" / "files"
TRAIN_VENDORS = {
    "emojione",
    "emojionemono",
    "fluent",
    "fluentflat",
    "fluentmono",
    "fxemoji",
    "noto",
    "notov1",
}


def test_sizes_of_the_splits(data):
    sizes = [len(split["names"]) for split in data]
    assert sizes == [8970, 1862, 1881]


def test_all_columns_have_a_row_per_drawing(data):
    for split in data:
        n = len(split["names"])
        assert split["images"].shape == (n, 64, 64, 3)
        assert split["images"].dtype == "uint8"
        assert split["key"].shape == (n, 4)
        assert split["key"].dtype == "int32"
        for name in set(split) - {"images", "key"}:
            assert split[name].shape == (n,)
            assert split[name].dtype.kind == "U"
            assert name == "keywords" or all(split[name])


def test_the_test_vendor_is_in_no_other_split(data):
    assert set(data.train["vendors"]) == TRAIN_VENDORS
    assert set(data.curated["vendors"]) == TRAIN_VENDORS
    assert set(data.test["vendors"]) == {"twemoji"}


def test_no_two_pictures_are_equal(data):
    pictures = [image.tobytes() for split in data for image in split["images"]]
    assert len(set(pictures)) == len(pictures)


def test_keys_are_unique_and_those_of_the_records(data):
    keys = np.concatenate([split["key"] for split in data])
    assert len(np.unique(keys, axis=0)) == len(keys)
    split = data.test
    assert np.array_equal(
        split["key"][7], record_key(f"twemoji-{split['codepoints'][7]}")
    )


def test_curated_has_one_drawing_of_each_shared_emoji(data):
    curated = set(data.curated["codepoints"])
    assert len(curated) == len(data.curated["codepoints"])
    train, counts = np.unique(data.train["codepoints"], return_counts=True)
    assert curated <= set(train)
    assert set(train[counts > 1]) <= curated


def test_names_belong_to_their_code_points(data):
    for split in data:
        rows = list(split["codepoints"])
        assert split["names"][rows.index("1f34e")] == "red apple"


def test_pictures_belong_to_their_names(data):
    """A red apple is red, a green apple green, by every vendor with colour."""
    for name, channel in (("red apple", 0), ("green apple", 1)):
        for split in data:
            for image in split["images"][split["names"] == name]:
                colour = image.reshape(-1, 3).astype(int)
                colour = colour[np.ptp(colour, axis=1) > 100].mean(axis=0)
                assert np.argmax(colour) == channel


def test_rows_are_mixed(data):
    for split in (data.train, data.curated):
        vendors = split["vendors"]
        assert np.mean(vendors[1:] == vendors[:-1]) < 0.25
        groups = split["groups"]
        assert np.mean(groups[1:] == groups[:-1]) < 0.35


def test_pictures_on_white(data):
    """The corners of most drawings are empty, and no drawing is."""
    images = data.train["images"]
    assert np.mean(images[:, 0, 0].min(axis=1) > 245) > 0.9
    assert np.all(images.min(axis=(1, 2, 3)) < 240)


def test_half_the_size_is_the_mean_of_four_pixels(data):
    small = pictograms.load_data(image_size=32)
    for split, other in zip(data, small, strict=True):
        rows = slice(None, None, 7)
        blocks = split["images"][rows].reshape(-1, 32, 2, 32, 2, 3)
        difference = other["images"][rows] - blocks.mean(axis=(2, 4))
        assert np.abs(difference).max() <= 0.75
        for name in set(split) - {"images"}:
            assert np.array_equal(split[name], other[name])


@pytest.mark.parametrize("image_size", [1, 24, 64, 100])
def test_other_sizes_show_the_same_pictures(data, image_size):
    images = load_images("test", 200, image_size)
    assert images.shape == (200, image_size, image_size, 3)
    expected = data.test["images"][:200].mean(axis=(1, 2))
    assert np.abs(images.mean(axis=(1, 2)) - expected).max() < 8


@pytest.mark.parametrize("image_size", [0, -64, 32.0, "64", None])
def test_a_bad_size_is_told(image_size):
    with pytest.raises(ValueError, match="Received: image_size="):
        pictograms.load_data(image_size=image_size)


def test_files_are_small_and_hold_no_pickle():
    files = list(FILES.iterdir())
    assert sum(file.stat().st_size for file in files) < 12e6
    assert {file.suffix for file in files} == {".webp", ".json"}


def test_every_vendor_and_package_stands_in_the_notice():
    notice = (ROOT / "NOTICE").read_text("utf-8")
    tables = json.loads((FILES / "pictograms.json").read_text("utf-8"))
    sources = json.loads(
        (ROOT / "scripts" / "build_pictograms" / "package.json").read_text()
    )["dependencies"]
    assert len(tables["vendors"]) == 9
    for row in tables["vendors"]:
        assert row["vendor"] in notice
        assert row["licence"] in ("Apache-2.0", "MIT", "CC-BY-4.0")
    for package, version in sources.items():
        assert f"{package} {version}" in notice.replace("\n", " ")
