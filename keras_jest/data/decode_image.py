"""From the bytes of a JPEG, PNG or WebP file to a square of pixels."""

import contextlib
import io
import math

import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.image_header import BYTES_PER_PIXEL
from keras_jest.data.image_header import MAX_SIDE
from keras_jest.data.image_header import read_header
from keras_jest.data.memory_budget import MemoryBudget
from keras_jest.data.orientation import read_orientation
from keras_jest.data.orientation import upright
from keras_jest.data.require import require
from keras_jest.data.spans_file import spans_file

MAX_IMAGE_BYTES = 2**26
MAX_PIXELS = 3 * 2**24
# Larger ones are decoded reduced, and turned and resized in strips.
LARGE_PIXELS = 2**22
STRIP_PIXELS = 2**19
# For what is small or does not grow with the picture.
WORK_BYTES = 2**23
MEMORY = MemoryBudget(BYTES_PER_PIXEL * MAX_PIXELS + WORK_BYTES)


@keras_jest_export("keras_jest.data.decode_image")
def decode_image(
    image: bytes, image_size: int, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Decode a picture and resize it to a square.

    Bilinear with antialiasing and without regard to the aspect, as SigLIP
    does. Transparent parts become white, and the picture is turned upright if
    its EXIF data say how.

    Threads may call it at the same time. All pictures that a process decodes
    at a time take at most 200 MiB: large ones wait for each other. JPEGs of
    more than 4,194,304 pixels are decoded at 1/2, 1/4 or 1/8 of their size,
    to at least twice `image_size`: values change by about 1 of 255 in the
    mean, by up to 20 at hard edges.

    Args:
        image: bytes. A JPEG, PNG or WebP file.
        image_size: int. Side of the square, in pixels.
        max_pixels: int, 50,331,648 by default. A picture that claims more is
            not decoded, nor one that takes more than 4 bytes for each of
            `max_pixels`, and 8 MiB, to decode: 200 MiB by default. WebP takes
            16 bytes a pixel, progressive JPEG 3 to 8, others at most 4.
            Pillow's own limit, `PIL.Image.MAX_IMAGE_PIXELS`, holds too.

    Returns:
        An array of shape `(image_size, image_size, 3)`, uint8, RGB.

    Raises:
        ValueError: The bytes are no such picture, are cut short, claim more
            than `max_pixels`, or a side of more than 65,535.

    Example:

    ```python
    import io
    from PIL import Image
    from keras_jest.data import decode_image

    file = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(file, "PNG")
    decode_image(file.getvalue(), image_size=16).shape  # (16, 16, 3)
    ```

    Source: SigLIP's preprocessing, https://arxiv.org/abs/2303.15343.
    """
    file = io.BytesIO(image)
    with decoding_errors(len(image)):
        header = check_header(file, len(image), max_pixels)
        scale = reduction(header, image_size, max_pixels)
        orientation = read_orientation(file, header.orientations)
        needed = header.decoded_bytes(scale) + copied_bytes(header)
        with MEMORY.hold(needed), opened(file, header, scale) as picture:
            if math.prod(header.size) <= LARGE_PIXELS:
                square = as_square(picture, orientation, image_size)
            else:
                size = [side / scale for side in header.size]
                square = large_as_square(picture, size, orientation, image_size)
            return np.asarray(square)


def check_picture(file, num_bytes, max_pixels):
    """Raise unless a file can be decoded to its last pixel.

    As `decode_image` does, but it reads the file bit by bit, and where the
    format allows it decodes at the least size: a cut is found all the same.

    Args:
        file: A binary file that can seek.
        num_bytes: int. Its size.
        max_pixels: int. More are an error.
    """
    with decoding_errors(num_bytes):
        header = check_header(file, num_bytes, max_pixels)
        scale = header.scales[-1]
        with MEMORY.hold(header.decoded_bytes(scale)):
            with opened(file, header, scale):
                pass


@contextlib.contextmanager
def decoding_errors(num_bytes):
    """Turn what broken bytes raise, a dozen types in Pillow, to one."""
    Image = require("PIL.Image")
    try:
        yield
    except (TooManyPixels, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
        raise TooManyPixels(str(e)) from e
    except Exception as e:
        raise ValueError(
            "Expected the bytes of a JPEG, PNG or WebP picture. Received: "
            f"{num_bytes} bytes that cannot be decoded "
            f"({type(e).__name__}: {e})."
        ) from e


class TooManyPixels(ValueError):
    """A picture claims more pixels than it may have."""


def check_header(file, num_bytes, max_pixels):
    """Return the header of a file; raise unless it may be decoded."""
    header = read_header(file, num_bytes)
    width, height = header.size
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise TooManyPixels(
            f"Expected a picture of at most max_pixels={max_pixels} pixels "
            f"and a side of at most {MAX_SIDE}. Received: one that claims "
            f"{width} x {height}."
        )
    if header.decoded_bytes(header.scales[-1]) > most_bytes(max_pixels):
        raise TooManyPixels(
            "Expected a picture that takes at most 4 bytes for each of "
            f"max_pixels={max_pixels} pixels to decode. Received: a "
            f"{header.format} that claims {width} x {height} and takes "
            f"{header.decoded_bytes(header.scales[-1])}."
        )
    return header


def most_bytes(max_pixels):
    """Return how much memory one picture may take."""
    return BYTES_PER_PIXEL * max_pixels + WORK_BYTES


def reduction(header, image_size, max_pixels):
    """Return by how much to reduce a picture already when it is decoded.

    Only large ones are, and keep twice the pixels that are asked for, unless
    they would take too much memory.
    """
    width, height = header.size
    if width * height <= LARGE_PIXELS:
        return 1
    most = most_bytes(max_pixels)
    fits = [s for s in header.scales if header.decoded_bytes(s) <= most]
    sharp = [s for s in fits if min(width, height) // s >= 2 * image_size]
    return max(sharp) if sharp else min(fits)


@contextlib.contextmanager
def opened(file, header, scale):
    """Give the `PIL.Image` of a file, all its pixels decoded."""
    Image = require("PIL.Image")
    # Without metadata it is the file itself, which is quicker to read.
    whole = len(header.spans) == 1
    pixels = file if whole else spans_file(file, header.spans)
    # The format is named, or Pillow would try dozens of decoders.
    with Image.open(pixels, formats=[header.format]) as image:
        if image.size != header.size:
            raise ValueError(f"two sizes, {header.size} and {image.size}")
        if scale > 1:
            # Pillow takes the largest scale that leaves this size or more.
            image.draft(None, [max(side // scale, 1) for side in image.size])
        image.load()
        yield image


def copied_bytes(header):
    """Return how much memory the copies on the way to a square take."""
    num_pixels = math.prod(header.size)
    if num_pixels > LARGE_PIXELS:
        num_pixels = STRIP_PIXELS
    copies = 1 if header.format == "JPEG" else 5
    return copies * BYTES_PER_PIXEL * num_pixels


def as_square(image, orientation, image_size):
    """Return a picture upright, in RGB and resized."""
    Image = require("PIL.Image")
    whole = as_rgb(upright(image, orientation))
    return whole.resize((image_size, image_size), Image.Resampling.BILINEAR)


def large_as_square(image, size, orientation, image_size):
    """Do the same without a second copy of the whole picture.

    Lines are resized strip by strip, columns then, and the square is turned.

    Args:
        image: `PIL.Image`.
        size: tuple of float. How much of it the picture is: its last column
            or row may be filled up where it was decoded reduced.
        orientation: int, 1 to 8.
        image_size: int.
    """
    Image = require("PIL.Image")
    bilinear = Image.Resampling.BILINEAR
    width, height = size
    narrow = Image.new("RGB", (image_size, image.height))
    num_rows = max(STRIP_PIXELS // image.width, 1)
    for top in range(0, image.height, num_rows):
        bottom = min(top + num_rows, image.height)
        strip = as_rgb(image.crop((0, top, image.width, bottom)))
        box = (0, 0, width, bottom - top)
        strip = strip.resize((image_size, bottom - top), bilinear, box)
        narrow.paste(strip, (0, top))
    square = (image_size, image_size)
    square = narrow.resize(square, bilinear, (0, 0, image_size, height))
    return upright(square, orientation)


def as_rgb(image):
    """Return the picture in RGB, white where it is transparent."""
    Image = require("PIL.Image")
    if image.mode.startswith("I"):
        # 16 bits of grey: `convert` would clip them at 255.
        grey = np.asarray(image).astype("int32") >> 8
        return Image.fromarray(grey.astype("uint8")).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
