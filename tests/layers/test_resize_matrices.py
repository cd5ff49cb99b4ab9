"""The closed forms of FlexiViT, in float64: no backend is asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies
from numpy_resizing import interpolated
from numpy_resizing import resize_operator

from keras_jest.layers.resize_matrices import area_matrix
from keras_jest.layers.resize_matrices import bilinear_matrix
from keras_jest.layers.resize_matrices import pseudo_inverse_matrix

pytestmark = pytest.mark.once

SIZES = strategies.integers(1, 24)


@settings(deadline=None)
@given(SIZES, SIZES)
def test_bilinear_rows_interpolate(old, new):
    signal = np.random.default_rng(0).normal(size=old)
    np.testing.assert_allclose(
        bilinear_matrix(old, new) @ signal,
        interpolated(signal, new),
        rtol=0,
        atol=1e-13,  # Some hundred roundings of 1e-16.
    )


@pytest.mark.parametrize("old, new", [(16, 8), (7, 5), (16, 5), (5, 12)])
def test_antialiased_rows_are_those_of_torch(old, new):
    torch = pytest.importorskip("torch")
    units = torch.eye(old, dtype=torch.float64).reshape(old, 1, 1, old)
    expected = torch.nn.functional.interpolate(
        units.repeat(1, 1, 2, 1), (2, new), mode="bilinear", antialias=True
    )
    np.testing.assert_allclose(
        bilinear_matrix(old, new, antialias=True),
        expected[:, 0, 0].numpy().T,
        rtol=0,
        atol=1e-14,  # Sums to 1 of at most eight numbers.
    )


def test_antialiased_halves_see_four_pixels():
    row = bilinear_matrix(8, 4, antialias=True)[1]
    np.testing.assert_allclose(
        row, np.array([0, 1, 3, 3, 1, 0, 0, 0]) / 8, rtol=1e-15
    )
    np.testing.assert_array_equal(
        bilinear_matrix(4, 8, antialias=True), bilinear_matrix(4, 8)
    )


@settings(deadline=None)
@given(SIZES, SIZES)
def test_rows_sum_to_one(old, new):
    matrices = [bilinear_matrix(old, new), bilinear_matrix(old, new, True)]
    matrices += [area_matrix(old, new)] if new <= old else []
    for matrix in matrices:
        assert matrix.shape == (new, old) and matrix.dtype == "float64"
        # At most 24 numbers, each rounded by 1e-16.
        np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-14)


@settings(deadline=None)
@given(SIZES)
def test_the_same_size_is_the_identity(size):
    for make in (bilinear_matrix, area_matrix):
        np.testing.assert_array_equal(make(size, size), np.eye(size))
    # An inverse by singular values: some roundings.
    np.testing.assert_allclose(
        pseudo_inverse_matrix(size, size), np.eye(size), atol=1e-14
    )


@settings(deadline=None)
@given(strategies.integers(1, 16))
def test_to_half_the_size_squares_are_summed(size):
    kernel = np.random.default_rng(0).normal(size=(2 * size, 2 * size))
    matrix = pseudo_inverse_matrix(2 * size, size)
    np.testing.assert_allclose(
        matrix @ kernel @ matrix.T,
        kernel.reshape(size, 2, size, 2).sum(axis=(1, 3)),
        rtol=0,
        atol=1e-13,  # As above.
    )


@pytest.mark.parametrize("old, new", [(3, 3), (3, 5), (4, 7), (8, 16), (2, 9)])
def test_enlarging_keeps_tokens_exactly(old, new):
    random = np.random.default_rng(0)
    kernel = random.normal(size=(old, old))
    matrix = pseudo_inverse_matrix(old, new)
    enlarged = matrix @ kernel @ matrix.T
    resize = resize_operator(old, new)
    for _ in range(5):
        picture = random.normal(size=old * old)
        np.testing.assert_allclose(
            (resize @ picture) @ enlarged.reshape(-1),
            picture @ kernel.reshape(-1),
            rtol=0,
            atol=1e-12,  # Sums of up to 256 products near 1, by an inverse.
        )


@pytest.mark.parametrize("old, new", [(4, 2), (5, 3), (6, 4), (3, 5), (4, 4)])
def test_it_is_the_pseudo_inverse_of_the_operator_on_pictures(old, new):
    inverse = np.linalg.pinv(resize_operator(old, new).T)
    matrix = pseudo_inverse_matrix(old, new)
    np.testing.assert_allclose(np.kron(matrix, matrix), inverse, atol=1e-13)


@settings(deadline=None)
@given(strategies.integers(1, 8), strategies.integers(1, 8))
def test_area_at_whole_ratios_is_a_mean(new, ratio):
    expected = np.repeat(np.eye(new), ratio, axis=1) / ratio
    np.testing.assert_array_equal(area_matrix(new * ratio, new), expected)
    if ratio == 2:
        np.testing.assert_allclose(
            bilinear_matrix(2 * new, new), expected, rtol=1e-14
        )


def test_area_counts_parts_of_pixels():
    np.testing.assert_allclose(
        area_matrix(5, 2),
        np.array([[2, 2, 1, 0, 0], [0, 0, 1, 2, 2]]) / 5,
        rtol=1e-15,
    )


def test_what_is_made_once_cannot_be_written_to():
    matrix = bilinear_matrix(4, 2)
    assert bilinear_matrix(4, 2) is matrix
    with pytest.raises(ValueError, match="read-only"):
        matrix[0, 0] = 3
