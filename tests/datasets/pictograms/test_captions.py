import re

import numpy as np
import pytest

from keras_jest.datasets import pictograms
from keras_jest.datasets.pictograms.captions import spoken

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def curated(data):
    return data.curated


def words_of(text):
    return re.findall(r"[\w'-]*\w", text.lower())


def test_every_caption_has_the_name(curated):
    for seed in (0, 5):
        captions = pictograms.make_captions(curated, seed=seed)
        for caption, name in zip(captions, curated["names"], strict=True):
            assert spoken(name) in caption


def test_captions_add_keywords_and_styles_of_their_row_only(curated):
    frame = "icon emoji drawing of clip art small picture in style tags and"
    captions = pictograms.make_captions(curated, seed=3)
    has_keyword = []
    for i, caption in enumerate(captions):
        name = re.escape(spoken(curated["names"][i]))
        rest = words_of(re.sub(rf"(?<!\w){name}(?!\w)", "", caption, count=1))
        keywords = words_of(curated["keywords"][i])
        frame_words = words_of(f"{frame} {curated['styles'][i]}")
        assert set(rest) <= {*keywords, *frame_words}
        has_keyword.append(bool({*rest} & {*keywords} - {*frame_words}))
    assert 0.2 < np.mean(has_keyword) < 0.8


def test_a_caption_depends_on_row_and_seed_only(curated):
    rows = np.array([40, 3, 777])
    part = {name: values[rows] for name, values in curated.items()}
    whole = pictograms.make_captions(curated, seed=2)
    assert np.array_equal(pictograms.make_captions(part, seed=2), whole[rows])
    assert np.mean(pictograms.make_captions(curated, seed=4) != whole) > 0.7


def test_the_splits_captions_are_those_of_seed_0(curated):
    captions = pictograms.make_captions(curated)
    assert np.array_equal(curated["captions"], captions)


@pytest.mark.parametrize(
    "name, said",
    [
        ("red apple", "red apple"),
        ("flag: Peru", "flag of Peru"),
        ("man: red hair", "man with red hair"),
        ("person: beard", "person with beard"),
        ("woman: bald", "bald woman"),
        ("keycap: 3", "keycap 3"),
        ("kiss: woman, man", "kiss, woman and man"),
        ("family: man, woman, girl", "family, man, woman and girl"),
        ("woman running: facing right", "woman running facing right"),
    ],
)
def test_names_are_said_as_one_says_them(name, said):
    assert spoken(name) == said
