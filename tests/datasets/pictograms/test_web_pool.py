import collections
import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_jest.data import record_key
from keras_jest.datasets import pictograms
from keras_jest.datasets.pictograms.captions import spoken
from keras_jest.datasets.pictograms.web_pool import NOISE
from keras_jest.datasets.pictograms.web_pool import draw_kinds

pytestmark = pytest.mark.once

SIZE = 16


@pytest.fixture(scope="module")
def train(data):
    """The train split at a quarter of the size."""
    blocks = data.train["images"].reshape(-1, SIZE, 4, SIZE, 4, 3)
    images = blocks.mean(axis=(2, 4), dtype="float32").astype("uint8")
    return {**data.train, "images": images}


@pytest.fixture(scope="module")
def pool(train):
    return pictograms.web_pool(train, 0.3, num_pairs=4000, seed=1)


def digest(pool):
    parts = [name.encode() + pool[name].tobytes() for name in sorted(pool)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def rows_of(pool, kind):
    return np.flatnonzero(pool["source"] == kind)


def test_shares_are_exact(pool):
    assert collections.Counter(pool["source"].tolist()) == {
        "clean": 1200,
        "mismatched": 1400,
        "boilerplate": 600,
        "vague": 320,
        "near_duplicate": 280,
        "blank": 200,
    }


@settings(deadline=None)
@given(share=st.floats(0, 1), num_pairs=st.integers(1, 3000))
def test_counts_are_the_nearest_to_the_shares(share, num_pairs):
    kinds = draw_kinds(share, num_pairs, np.random.default_rng(0))
    counts = collections.Counter(kinds.tolist())
    assert len(kinds) == num_pairs
    assert abs(counts["clean"] - share * num_pairs) <= 0.5
    noise = num_pairs - counts["clean"]
    for kind, weight in NOISE.items():
        assert abs(counts[kind] - noise * weight / 70) < 1


@pytest.mark.parametrize("share, kinds", [(1.0, {"clean"}), (0.0, set(NOISE))])
def test_the_ends_of_the_range(train, share, kinds):
    pool = pictograms.web_pool(train, share, num_pairs=300)
    assert set(pool["source"]) == kinds


def test_shapes(pool):
    assert pool["images"].shape == (4000, SIZE, SIZE, 3)
    assert pool["images"].dtype == "uint8"
    assert {len(values) for values in pool.values()} == {4000}
    assert np.array_equal(pool["key"][12], record_key("000012"))
    assert pool["key"].dtype == pool["row"].dtype == "int32"
    assert all(pool["captions"])


def test_same_seed_same_bytes_other_seed_other_pool(train, pool):
    again = pictograms.web_pool(train, 0.3, num_pairs=4000, seed=1)
    other = pictograms.web_pool(train, 0.3, num_pairs=4000, seed=2)
    assert digest(again) == digest(pool)
    for name in ("images", "captions", "source", "row"):
        assert not np.array_equal(other[name], pool[name])


def test_the_split_is_left_alone(train):
    before = digest(train)
    pictograms.web_pool(train, 0.3, num_pairs=500)
    assert digest(train) == before


def test_true_captions_name_what_the_picture_shows(train, pool):
    for kind in ("clean", "near_duplicate"):
        for i in rows_of(pool, kind):
            assert pool["row"][i] == pool["caption_row"][i] >= 0
            name = train["names"][pool["row"][i]]
            assert spoken(name) in pool["captions"][i]


def test_clean_pictures_are_those_of_their_row(train, pool):
    """Nearest of 60 drawings, in spite of the changes, by grey correlation."""

    def standardised(images):
        grey = images.mean(axis=-1).reshape(len(images), -1)
        grey = grey - grey.mean(axis=1, keepdims=True)
        return grey / (np.linalg.norm(grey, axis=1, keepdims=True) + 1e-6)

    rows = rows_of(pool, "clean")[:60]
    shown = standardised(pool["images"][rows])
    drawn = standardised(train["images"][pool["row"][rows]])
    nearest = np.argmax(shown @ drawn.T, axis=1)
    assert np.mean(nearest == np.arange(60)) > 0.6  # by chance 0.02


def test_four_of_five_pictures_are_changed_a_little(train, pool):
    rows = rows_of(pool, "clean")
    before = train["images"][pool["row"][rows]].astype(int)
    difference = np.abs(pool["images"][rows] - before).mean(axis=(1, 2, 3))
    assert 0.75 < np.mean(difference > 0) < 0.85
    assert difference.max() < 110


def test_mismatched_captions_are_of_another_subgroup(train, pool):
    rows = rows_of(pool, "mismatched")
    shown, told = pool["row"][rows], pool["caption_row"][rows]
    assert np.all(train["subgroups"][shown] != train["subgroups"][told])
    for i in rows:
        name = train["names"][pool["caption_row"][i]]
        assert spoken(name) in pool["captions"][i]


def test_noise_captions_name_nothing(train, pool):
    names = {spoken(name) for name in train["names"] if len(name) > 5}
    for kind in ("boilerplate", "vague"):
        rows = rows_of(pool, kind)
        assert np.all(pool["caption_row"][rows] == -1)
        assert np.all(pool["row"][rows] >= 0)
        assert names.isdisjoint(pool["captions"][rows])
        assert "#" not in "".join(pool["captions"][rows])


def test_near_duplicates_show_20_drawings(train, pool):
    rows = rows_of(pool, "near_duplicate")
    assert len(set(pool["row"][rows])) == 20
    assert len({image.tobytes() for image in pool["images"][rows]}) > 270
    names = set(train["names"][pool["row"][rows]])
    assert {"red", "green", "blue"}.isdisjoint(" ".join(names).split())


def test_blank_pictures_are_empty(pool):
    rows = rows_of(pool, "blank")
    assert np.all(pool["row"][rows] == -1)
    assert np.all(pool["caption_row"][rows] >= 0)
    spread = np.ptp(pool["images"][rows].astype(int), axis=(1, 2))
    assert spread.max() <= 12
    others = pool["images"][pool["source"] != "blank"]
    assert np.mean(np.ptp(others, axis=(1, 2)).max(axis=1) > 12) > 0.99


def test_kinds_are_mixed(pool):
    is_clean = pool["source"] == "clean"
    parts = is_clean.reshape(8, 500).mean(axis=1)
    assert np.all(np.abs(parts - 0.3) < 0.09)
    assert 0.36 < np.mean(is_clean[1:] != is_clean[:-1]) < 0.48


def test_rows_are_used_about_equally(train):
    part = {name: values[:100] for name, values in train.items()}
    pool = pictograms.web_pool(part, 1.0, num_pairs=250)
    counts = np.bincount(pool["row"], minlength=100)
    assert set(counts) == {2, 3}


def test_concepts_by_a_law(train):
    """Zipf's: the counts of concepts against their shares, by rank."""
    small = {**train, "images": train["images"][:, :1, :1]}
    pool = pictograms.web_pool(
        small, 0.5, num_pairs=20_000, seed=3, concept_exponent=1.0
    )
    names = np.unique(train["names"])
    is_picture = np.isin(pool["source"], ["clean", "mismatched", "boilerplate"])
    shown = pool["concept"][is_picture]
    assert np.array_equal(names[shown], train["names"][pool["row"][is_picture]])
    assert set(pool["concept"][pool["source"] == "blank"]) == {-1}
    expected = 1 / np.arange(1, len(names) + 1)
    expected *= len(shown) / expected.sum()
    counts = np.sort(np.bincount(shown, minlength=len(names)))[::-1]
    # The ten largest expected counts are above 180: five deviations of a
    # count are below 5 / sqrt(180), some 38 % of it.
    assert np.allclose(counts[:10], expected[:10], rtol=0.38)
    # Half of all pictures show the first 40 or so of 1,900 concepts.
    half = np.searchsorted(np.cumsum(counts), len(shown) / 2)
    assert half == pytest.approx(
        np.searchsorted(np.cumsum(expected), len(shown) / 2), rel=0.25
    )
    # Mismatched captions follow it, too, and no drawing of the first is rare.
    told = pool["caption_row"][pool["source"] == "mismatched"]
    first = np.argmax(np.bincount(shown))
    is_told = train["names"][told] == names[first]
    assert is_told.mean() == pytest.approx(expected[0] / len(shown), rel=0.3)
    rows = np.bincount(pool["row"][is_picture], minlength=len(small["names"]))
    of_first = rows[train["names"] == names[first]]
    assert of_first.min() > of_first.max() / 2


def test_an_exponent_that_leaves_one_subgroup_alone(train):
    """Others would be drawn for as good as ever."""
    small = {**train, "images": train["images"][:, :1, :1]}
    with pytest.raises(ValueError, match="Received: concept_exponent=40.0"):
        pictograms.web_pool(small, 0.5, 100, concept_exponent=40.0)
    pool = pictograms.web_pool(small, 1.0, 100, concept_exponent=40.0)
    assert len(set(pool["concept"])) == 1


@pytest.mark.parametrize("exponent", [-1.0, float("inf"), float("nan")])
def test_a_bad_exponent_is_told(train, exponent):
    with pytest.raises(ValueError, match="Received: concept_exponent="):
        pictograms.web_pool(train, 0.5, 10, concept_exponent=exponent)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_bad_share_is_told(train, share):
    with pytest.raises(ValueError, match="Received: clean_share="):
        pictograms.web_pool(train, share)


def test_a_bad_number_is_told(train):
    with pytest.raises(ValueError, match="Received: num_pairs=0"):
        pictograms.web_pool(train, num_pairs=0)


def test_a_single_subgroup_is_told(train):
    is_fruit = train["subgroups"] == "food-fruit"
    fruit = {name: values[is_fruit] for name, values in train.items()}
    with pytest.raises(ValueError, match="food-fruit"):
        pictograms.web_pool(fruit, 0.5, num_pairs=10)
    assert len(pictograms.web_pool(fruit, 1.0, num_pairs=10)["images"]) == 10
