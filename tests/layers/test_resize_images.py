import keras
import numpy as np
import pytest
from check_layer import to_numpy
from on_backend import compiled

from keras_jest.layers.resize_images import resize_images


def pictures(*shape, dtype="uint8"):
    numbers = np.random.default_rng(0).integers(0, 256, shape)
    return numbers.astype(dtype)


def means(images, size):
    """Means over what is covered, on a grid that both sizes divide."""
    n, height, width, channels = images.shape
    fine = images.astype("float64")
    fine = fine.repeat(size, axis=1).repeat(size, axis=2)
    blocks = fine.reshape(n, size, height, size, width, channels)
    return blocks.mean(axis=(2, 4))


@pytest.mark.parametrize(
    "shape, size",
    [
        ((2, 8, 8, 3), 4),
        ((2, 12, 12, 3), 4),
        ((1, 9, 6, 2), 3),
        ((2, 7, 7, 3), 5),
        ((1, 8, 11, 1), 3),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_equals_numpy(shape, size, dtype):
    images = pictures(*shape, dtype=dtype)
    got = compiled(lambda images: resize_images(images, size))(images)
    assert keras.backend.standardize_dtype(got.dtype) == "float32"
    # Numbers to 255, each rounded a few times by 6e-8 of it.
    np.testing.assert_allclose(
        to_numpy(got), means(images, size), rtol=1e-6, atol=0
    )


def test_halves_are_those_of_bilinear_resizing():
    images = pictures(2, 8, 8, 3)
    expected = keras.ops.image.resize(
        images.astype("float32"), (4, 4), data_format="channels_last"
    )
    np.testing.assert_allclose(
        to_numpy(resize_images(images, 4)), to_numpy(expected), rtol=6e-7
    )


def test_the_same_size_is_left_alone():
    images = pictures(2, 5, 5, 3)
    np.testing.assert_array_equal(to_numpy(resize_images(images, 5)), images)


def test_the_number_of_pictures_may_be_unknown():
    for size in (2, 3, 4):
        images = keras.KerasTensor((None, 4, 4, 3), "uint8")
        assert resize_images(images, size).shape == (None, size, size, 3)


@pytest.mark.parametrize(
    "shape, size", [((1, 4, 4, 3), 5), ((1, 8, 4, 3), 6), ((1, 4, 4, 3), 0)]
)
def test_no_enlarging(shape, size):
    with pytest.raises(ValueError, match=f"size={size}"):
        resize_images(pictures(*shape), size)


def test_unknown_sizes():
    with pytest.raises(ValueError, match="must be known"):
        resize_images(keras.KerasTensor((2, None, 4, 3)), 2)
