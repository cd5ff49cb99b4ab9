"""Small changes of pictures, many at a time."""

from typing import NamedTuple

import numpy as np

# Luma weights (ITU-R BT.601) and the two chroma axes that a hue turns in.
TO_LUMA = np.array(
    [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]
)


class Change(NamedTuple):
    """How far changes go, each drawn uniformly up to it, to both sides."""

    angle: float  # degrees
    zoom: tuple
    shift: float  # of the picture's side
    hue: float  # degrees
    brightness: tuple
    tinted: float  # share of pictures on a pale colour instead of white


LIGHT = Change(12, (0.8, 1.1), 0.06, 8, (0.9, 1.0), 0.4)
DUPLICATE = Change(0, (1.0, 1.4), 0.12, 35, (0.85, 1.0), 0.5)


def change_images(images, change, generator):
    """Turn, zoom, move and recolour pictures.

    Args:
        images: `(n, size, size, 3)`, uint8.
        change: `Change`. How far to go.
        generator: `numpy.random.Generator`.

    Returns:
        The changed pictures, of the same shape.
    """
    moves = draw_moves(len(images), images.shape[1], change, generator)
    colours = draw_colours(len(images), change, generator)
    result = np.empty_like(images)
    for i, image in enumerate(images):
        result[i] = change_image(image, moves[i], colours[i])
    return result


def change_image(pixels, move, colour):
    from PIL import Image

    image = Image.fromarray(pixels).transform(
        pixels.shape[:2],
        Image.Transform.AFFINE,
        tuple(move),
        Image.Resampling.BILINEAR,
        fillcolor="white",
    )
    return image.convert("RGB", tuple(colour))


def draw_moves(num_images, size, change, generator):
    """`(n, 6)`: where each pixel comes from, in Pillow's affine form."""
    angle = np.radians(generator.uniform(-1, 1, num_images) * change.angle)
    zoom = generator.uniform(*change.zoom, num_images)
    shift = generator.uniform(-1, 1, (2, num_images)) * change.shift * size
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    x, y = size / 2 + shift
    return np.stack(
        [
            cos,
            sin,
            size / 2 - cos * x - sin * y,
            -sin,
            cos,
            size / 2 + sin * x - cos * y,
        ],
        axis=1,
    )


def draw_colours(num_images, change, generator):
    """`(n, 12)`: what each channel becomes, in Pillow's matrix form."""
    hue = np.radians(generator.uniform(-1, 1, num_images) * change.hue)
    turn = np.zeros((num_images, 3, 3))
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = np.cos(hue)
    turn[:, 1, 2], turn[:, 2, 1] = -np.sin(hue), np.sin(hue)
    matrix = np.linalg.inv(TO_LUMA) @ turn @ TO_LUMA

    gain = generator.uniform(*change.brightness, (num_images, 1))
    pale = generator.uniform(0.8, 1.0, (num_images, 3))
    is_tinted = generator.random((num_images, 1)) < change.tinted
    gain = gain * np.where(is_tinted, pale, 1)
    matrix = np.concatenate(
        [matrix * gain[:, :, None], np.zeros((num_images, 3, 1))], axis=2
    )
    return matrix.reshape(num_images, 12)


def blank_images(shape, generator):
    """Pictures of one colour, of a faint slope or of faint noise."""
    num_images, size = shape[:2]
    one = (num_images, 1, 1, 1)
    grey = generator.choice([0, 128, 245, 250, 255, 255], one)
    pale = generator.integers(200, 256, (num_images, 1, 1, 3))
    pixels = np.where(generator.random(one) < 0.7, grey, pale)
    slope = np.linspace(-6, 6, size)[None, :, None, None]
    noise = generator.integers(-2, 3, shape)
    kind = generator.integers(3, size=one)
    pixels = pixels + slope * (kind == 1) + noise * (kind == 2)
    return np.clip(pixels, 0, 255).astype("uint8")
