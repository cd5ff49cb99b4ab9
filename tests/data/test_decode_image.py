import io

import numpy as np
import pytest
from PIL import Image
from tar_writer import png_that_claims

from keras_jest.data import decode_image

pytestmark = pytest.mark.once


def encoded(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def triangle_weights(old, new):
    """Bilinear resizing of a line with antialiasing, as a (new, old) matrix.

    A pixel of the result is a mean of the old ones, weighted by a triangle
    whose half width is one pixel of the coarser grid.
    """
    scale = max(old / new, 1.0)
    centres = (np.arange(new)[:, None] + 0.5) * old / new
    distances = np.abs(np.arange(old) + 0.5 - centres) / scale
    weights = np.clip(1 - distances, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("height, width, size", [(30, 50, 16), (5, 9, 16)])
def test_resizes_bilinearly_with_antialiasing(height, width, size):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    image = Image.fromarray(pixels.astype("uint8"))
    expected = np.einsum(
        "ah,bw,hwc->abc",
        triangle_weights(height, size),
        triangle_weights(width, size),
        pixels,
    )
    decoded = decode_image(encoded(image), size)
    assert decoded.dtype == "uint8" and decoded.shape == (size, size, 3)
    # Pillow rounds twice, once for each direction.
    assert np.abs(decoded - expected).max() <= 1.01


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_formats(format):
    data = encoded(Image.new("RGB", (8, 8), (200, 100, 50)), format)
    difference = decode_image(data, 8).astype(int) - [200, 100, 50]
    assert np.abs(difference).max() <= 4


@pytest.mark.parametrize("format", ["GIF", "BMP", "TIFF", "PPM"])
def test_other_formats_are_not_decoded(format):
    with pytest.raises(ValueError, match="JPEG, PNG or WebP"):
        decode_image(encoded(Image.new("RGB", (8, 8)), format), 8)


@pytest.mark.parametrize(
    "mode, colour, expected",
    [
        ("L", 100, [100] * 3),
        ("1", 1, [255] * 3),
        ("I;16", 100 * 257, [100] * 3),
        ("LA", (100, 0), [255] * 3),
        ("RGBA", (0, 0, 200, 0), [255] * 3),
        ("RGBA", (0, 0, 200, 51), [204, 204, 244]),
        ("P", 0, [0, 0, 0]),
    ],
)
def test_modes_become_rgb_on_white(mode, colour, expected):
    decoded = decode_image(encoded(Image.new(mode, (4, 4), colour)), 4)
    assert np.abs(decoded.astype(int) - expected).max() <= 1


def test_a_transparent_palette_becomes_white():
    image = Image.new("P", (4, 4), 0)
    decoded = decode_image(encoded(image, transparency=0), 4)
    assert (decoded == 255).all()


def test_cmyk_jpeg():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    decoded = decode_image(encoded(image, "JPEG"), 8)
    assert np.abs(decoded.astype(int) - [255, 0, 0]).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    """The corner where each orientation puts the first row and column."""
    pixels = np.zeros((8, 8, 3), "uint8")
    pixels[:4, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(pixels)
    bright = decode_image(encoded(image, exif=exif), 2)[..., 0] > 128
    corner = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0)}
    corner |= {5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}
    expected = np.zeros((2, 2), bool)
    expected[corner[orientation]] = True
    np.testing.assert_array_equal(bright, expected)


def test_broken_exif_does_not_hide_the_picture():
    data = encoded(Image.new("RGB", (8, 8), "red"), exif=b"Exif\0\0noise")
    assert decode_image(data, 8).shape == (8, 8, 3)


def test_limits():
    data = encoded(Image.new("RGB", (8, 9)))
    decode_image(data, 4, max_pixels=72)
    with pytest.raises(ValueError, match="max_pixels=71.*8 x 9"):
        decode_image(data, 4, max_pixels=71)
    with pytest.raises(ValueError):
        decode_image(png_that_claims(60_000, 60_000), 4)


def test_every_cut_is_an_error_or_the_whole_picture():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    image = Image.fromarray(pixels.astype("uint8"))
    for format in ("PNG", "JPEG", "WEBP"):
        data = encoded(image, format)
        whole = decode_image(data, 16)
        for length in range(0, len(data), 13):
            try:
                decoded = decode_image(data[:length], 16)
            except ValueError:
                continue
            np.testing.assert_array_equal(decoded, whole)
