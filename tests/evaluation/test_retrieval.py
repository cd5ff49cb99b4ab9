"""Retrieval against sorting, row by row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_jest.evaluation import retrieval

pytestmark = pytest.mark.once


def unit_rows(generator, shape):
    rows = generator.normal(size=shape).astype("float32")
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sorted_recalls(images, texts, image_of_text, k):
    similarity = images @ texts.T
    found_texts = []
    for row in range(len(images)):
        best = np.argsort(-similarity[row], kind="stable")[:k]
        found_texts.append(row in image_of_text[best])
    found_images = []
    for row in range(len(texts)):
        best = np.argsort(-similarity[:, row], kind="stable")[:k]
        found_images.append(image_of_text[row] in best)
    return np.mean(found_texts), np.mean(found_images)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 3), st.integers(1, 12))
def test_recalls_are_those_of_a_sort(num_images, texts_per_image, k):
    generator = np.random.default_rng(num_images)
    images = unit_rows(generator, (num_images, 5))
    image_of_text = np.repeat(np.arange(num_images), texts_per_image)
    generator.shuffle(image_of_text)
    noise = generator.normal(size=(len(image_of_text), 5))
    texts = images[image_of_text] + 0.7 * noise.astype("float32")
    recalls = retrieval(
        {"image_embedding": images, "text_embedding": texts},
        ks=(k,),
        image_of_text=image_of_text,
    )
    expected = sorted_recalls(images, texts, image_of_text, k)
    assert recalls[f"image_to_text_recall@{k}"] == pytest.approx(expected[0])
    assert recalls[f"text_to_image_recall@{k}"] == pytest.approx(expected[1])


def test_a_model_that_says_the_same_of_all_finds_nothing():
    same = np.ones((20, 4), "float32") / 2
    pairs = {"image_embedding": same, "text_embedding": same}
    assert set(retrieval(pairs).values()) == {0.0}


def test_embeddings_that_are_not_finite_find_nothing():
    embedding = np.eye(4, dtype="float32")
    broken = np.full((4, 4), np.nan, "float32")
    pairs = {"image_embedding": embedding, "text_embedding": broken}
    assert set(retrieval(pairs, ks=(1,)).values()) == {0.0}


def test_many_rows_are_ranked_in_parts():
    embedding = unit_rows(np.random.default_rng(0), (2500, 8))
    pairs = {"image_embedding": embedding, "text_embedding": embedding}
    assert set(retrieval(pairs, ks=(1,)).values()) == {1.0}


def test_images_without_a_text_are_an_error():
    embedding = np.eye(3, dtype="float32")
    pairs = {"image_embedding": embedding, "text_embedding": embedding[:2]}
    with pytest.raises(ValueError, match="3 images, 2 texts"):
        retrieval(pairs)


def slow_recall(images, texts, image_of_text, k):
    """Is one own text at least among the k best, others' first at a tie?"""
    found = []
    for row, image in enumerate(images):
        scored = [
            (-float(image @ text), owner == row)
            for text, owner in zip(texts, image_of_text, strict=True)
        ]
        found.append(any(is_own for _, is_own in sorted(scored)[:k]))
    return np.mean(found)


@pytest.mark.parametrize("seed", range(20))
def test_ties_with_texts_of_other_images_alone_count(seed):
    generator = np.random.default_rng(seed)
    image_of_text = generator.permutation(np.repeat(np.arange(6), 3))
    # Small whole numbers, so that many similarities are equal.
    images = generator.integers(-1, 2, (6, 2)).astype("float32")
    texts = generator.integers(-1, 2, (18, 2)).astype("float32")
    pairs = {"image_embedding": images, "text_embedding": texts}
    recalls = retrieval(pairs, (1, 2, 5, 9), image_of_text)
    for k in (1, 2, 5, 9):
        expected = slow_recall(images, texts, image_of_text, k)
        assert recalls[f"image_to_text_recall@{k}"] == pytest.approx(expected)


def test_equal_captions_of_an_image_are_not_in_each_other_s_way():
    eye = np.eye(2, dtype="float32")
    pairs = {"image_embedding": eye, "text_embedding": eye[[0, 0, 1]]}
    recalls = retrieval(pairs, ks=(1,), image_of_text=[0, 0, 1])
    assert set(recalls.values()) == {1.0}


def test_no_rows_are_an_error():
    none = np.zeros((0, 4), "float32")
    pairs = {"image_embedding": none, "text_embedding": none}
    with pytest.raises(ValueError, match=r"at least one image.*\(0, 4\)"):
        retrieval(pairs)
