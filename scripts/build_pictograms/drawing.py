"""SVG documents to small pictures on white, and pictures to WebP sheets."""

import io

import numpy as np
import resvg_py
from PIL import Image

SIZE = 64
SHEET = 32  # pictures along a side of a sheet
QUALITY = 80
LEAST_INK = 0.02  # share of pixels that must differ visibly from white


def draw(svg):
    """A square uint8 picture, drawn at twice the size and averaged."""
    png = resvg_py.svg_to_bytes(
        svg_string=svg,
        width=2 * SIZE,
        height=2 * SIZE,
        background="#ffffff",
        skip_system_fonts=True,
    )
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB").reduce(2))


def is_visible(picture):
    return np.mean(picture.min(axis=2) < 235) >= LEAST_INK


def save_sheet(pictures, path):
    """At most `SHEET**2` pictures, row by row, the last row padded white."""
    rows = -(-len(pictures) // SHEET)
    sheet = np.full((rows * SHEET, SIZE, SIZE, 3), 255, "uint8")
    sheet[: len(pictures)] = pictures
    sheet = sheet.reshape(rows, SHEET, SIZE, SIZE, 3).swapaxes(1, 2)
    sheet = sheet.reshape(rows * SIZE, SHEET * SIZE, 3)
    Image.fromarray(sheet).save(path, "WEBP", quality=QUALITY, method=6)
