"""From the bytes of a JPEG, PNG or WebP file to a square of pixels."""

import contextlib
import io

import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.require import require

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 2**26


@keras_jest_export("keras_jest.data.decode_image")
def decode_image(image, image_size, max_pixels=MAX_PIXELS):
    """Decode a picture and resize it to a square.

    Bilinear with antialiasing and without regard to the aspect, as SigLIP
    does. Transparent parts become white, and the picture is turned upright if
    its EXIF data say how.

    Args:
        image: bytes. A JPEG, PNG or WebP file.
        image_size: int. Side of the square, in pixels.
        max_pixels: int. A picture that claims more is not decoded. Pillow's
            own limit, `PIL.Image.MAX_IMAGE_PIXELS`, holds too.

    Returns:
        An array of shape `(image_size, image_size, 3)`, uint8, RGB.

    Raises:
        ValueError: The bytes are no such picture, are cut short, or claim
            more than `max_pixels`.

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
    Image = require("PIL.Image")
    upright = load_image(image, max_pixels)
    square = upright.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(square)


def load_image(image, max_pixels):
    """Return a picture as a `PIL.Image` in RGB, all pixels decoded."""
    Image = require("PIL.Image")
    try:
        # The formats are named, or Pillow would try dozens of decoders.
        with Image.open(io.BytesIO(image), formats=FORMATS) as opened:
            check_dimensions(opened.size, max_pixels)
            opened.load()
            turn_upright(opened)
            return as_rgb(opened)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
        raise TooManyPixels(str(e)) from e
    except TooManyPixels:
        raise
    except Exception as e:  # Broken bytes raise a dozen types in Pillow.
        raise ValueError(
            "Expected the bytes of a JPEG, PNG or WebP picture. Received: "
            f"{len(image)} bytes that cannot be decoded "
            f"({type(e).__name__}: {e})."
        ) from e


class TooManyPixels(ValueError):
    """A picture claims more pixels than it may have."""


def check_dimensions(size, max_pixels):
    """Raise unless a picture of that width and height may be decoded."""
    width, height = size
    if width * height > max_pixels:
        raise TooManyPixels(
            f"Expected a picture of at most max_pixels={max_pixels} pixels. "
            f"Received: one that claims {width} x {height}."
        )


def turn_upright(image):
    """Turn the picture as its EXIF orientation says, if that is sound."""
    ImageOps = require("PIL.ImageOps")
    # Broken metadata do not make the pixels worse.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


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
