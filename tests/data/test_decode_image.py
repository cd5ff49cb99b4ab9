import contextlib
import importlib
import io
import os
import signal
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image
from PIL import ImageOps
from PIL import PngImagePlugin
from tar_writer import png_that_claims

from keras_jest.data import decode_image
from keras_jest.data.decode_image import check_picture
from keras_jest.data.memory_budget import MemoryBudget

# The package's attribute of that name is the function.
decoding = importlib.import_module("keras_jest.data.decode_image")

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


def whole_resized(image, size, orientation=1):
    """The picture turned, on white and resized, with a copy for each step."""
    image.getexif()[0x0112] = orientation
    image = ImageOps.exif_transpose(image)
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 20),
    st.integers(1, 8),
    st.sampled_from(["RGB", "RGBA", "L", "LA", "P"]),
    st.sampled_from([1, 64, 10**6]),
    st.integers(0, 2**32 - 1),
)
def test_strips_are_the_whole(
    width, height, size, orientation, mode, strip, seed
):
    """Strips of any height; Pillow may resize the whole downwards first."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4))
    image = Image.fromarray(pixels.astype("uint8"), "RGBA").convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, exif=exif)
    expected = whole_resized(image, size, orientation)
    np.testing.assert_array_equal(decode_image(data, size), expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "LARGE_PIXELS", 0)
        patch.setattr(decoding, "STRIP_PIXELS", strip)
        decoded = decode_image(data, size)
    assert np.abs(decoded.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_large_jpegs_are_decoded_reduced(monkeypatch, orientation, options):
    rows, columns = np.mgrid[:301, :403] / 40
    channels = [np.sin(rows), np.cos(columns), np.sin(rows + columns)]
    pixels = np.stack(channels, axis=-1) * 127 + 128
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(pixels.astype("uint8"))
    data = encoded(image, "JPEG", exif=exif, **options)
    whole = decode_image(data, 16).astype(int)
    monkeypatch.setattr(decoding, "LARGE_PIXELS", 1000)
    reduced = decode_image(data, 16).astype(int)
    assert 0 < np.abs(reduced - whole).max() <= 8
    # What would not fit in memory is reduced further, not refused.
    limit = 403 * 301
    monkeypatch.setattr(decoding, "WORK_BYTES", 10**6)
    assert decode_image(data, 400, max_pixels=limit).shape == (400, 400, 3)


def test_cuts_are_found_at_reduced_size():
    """A check decodes as little as it can, training perhaps all: they agree."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3))
    image = Image.fromarray(pixels.astype("uint8"))
    for options in ({}, {"progressive": True}, {"subsampling": 0}):
        data = encoded(image, "JPEG", **options)
        for length in range(0, len(data), 7):
            cut = data[:length]
            verdicts = []
            for decode in (
                lambda cut: decode_image(cut, 8),
                lambda cut: check_picture(io.BytesIO(cut), len(cut), 10**6),
            ):
                try:
                    decode(cut)
                    verdicts.append("sound")
                except ValueError:
                    verdicts.append("broken")
            assert verdicts[0] == verdicts[1], length


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_orientation_of_other_formats(format):
    pixels = np.zeros((8, 8, 3), "uint8")
    pixels[:4, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(Image.fromarray(pixels), format, exif=exif, **options)
    bright = decode_image(data, 2)[..., 0] > 128
    np.testing.assert_array_equal(bright, [[0, 1], [0, 0]])
    text = PngImagePlugin.PngInfo()
    xmp = '<x tiff:Orientation="6"/>'
    text.add_itxt("XML:com.adobe.xmp", xmp, zip=True)
    data = encoded(Image.fromarray(pixels), pnginfo=text)
    bright = decode_image(data, 2)[..., 0] > 128
    np.testing.assert_array_equal(bright, [[0, 1], [0, 0]])


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP"]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
)
def test_damaged_headers_raise_only_value_errors(format, flips):
    image = Image.new("RGB", (16, 16), "red")
    exif = Image.Exif()
    exif[0x0112] = 3
    data = bytearray(encoded(image, format, exif=exif))
    for place, value in flips:
        data[place % len(data)] = value
    with contextlib.suppress(ValueError):
        assert decode_image(bytes(data), 4).shape == (4, 4, 3)


def test_a_large_picture_waits_for_memory_and_is_not_passed_by():
    budget = MemoryBudget(100)
    order, release = [], threading.Event()

    def claim(name, num_bytes):
        with budget.hold(num_bytes):
            order.append(name)
            release.wait(10)

    threads = []
    claims = [("first", 60), ("large", 1000), ("small", 1)]
    for position, (name, num_bytes) in enumerate(claims):
        threads.append(threading.Thread(target=claim, args=(name, num_bytes)))
        threads[-1].start()
        while position == 0 and not order:
            time.sleep(0.001)
        time.sleep(0.05)
    assert order == ["first"]
    release.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "large", "small"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_process_has_a_budget_of_its_own():
    """As a torch DataLoader forks while another thread decodes."""
    data = encoded(Image.new("RGB", (8, 8)))
    with decoding.MEMORY.hold(2**40):
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            os._exit(decode_image(data, 4).shape != (4, 4, 3))
        assert os.waitpid(child, 0)[1] == 0
