"""How a picture stands: its EXIF orientation, 1 to 8, and the way back."""

import contextlib
import re
import struct
import zlib

from keras_jest.data.require import require

ORIENTATION_TAG = 0x0112
INTEGER_FORMATS = {1: "B", 3: "H", 4: "I"}
# Where it stands in real files; the rest is thumbnails and makers' notes.
MAX_METADATA_BYTES = 2**16
# How `PIL.Image.Transpose` calls the way back.
TRANSPOSES = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def read_orientation(file, metadata):
    """Return the orientation that metadata tell; 1 where they are broken.

    EXIF data come before XMP, as in Pillow; but only the one field is read,
    from a bounded part.

    Args:
        file: A binary file that can seek.
        metadata: list of `(kind, offset, size)`, see `ImageHeader`.
    """
    exif, xmp = [], []
    for kind, offset, size in metadata:
        file.seek(offset)
        data = file.read(min(size, MAX_METADATA_BYTES))
        # Broken metadata do not make the pixels worse.
        with contextlib.suppress(Exception):
            data = READERS[kind](data)
            exif.append(exif_orientation(data))
            xmp.append(xmp_orientation(data))
    found = next(filter(None, exif + xmp), 1)
    return found if found in TRANSPOSES else 1


def exif_orientation(data):
    """Return the orientation in EXIF data, None if they have none."""
    data = re.sub(b"^(Exif\0\0){1,2}", b"", data)
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return None
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, type, length = struct.unpack_from(order + "HHI", data, entry)
        if tag == ORIENTATION_TAG and length == 1 and type in INTEGER_FORMATS:
            value = order + INTEGER_FORMATS[type]
            return struct.unpack_from(value, data, entry + 8)[0]
    return None


def xmp_orientation(data):
    """Return the orientation in XMP, None if it has none."""
    found = re.search(rb'tiff:Orientation(?:="|>)([0-9])', data)
    return int(found[1]) if found else None


def read_png_text(data):
    """Return what a `tEXt` or `zTXt` chunk holds in hexadecimal digits."""
    keyword, _, text = data.partition(b"\0")
    if keyword != b"Raw profile type exif":
        return b""
    if text[:1] == b"\0":
        text = inflate(text[1:])
    return bytes.fromhex("".join(text.decode("ascii").split("\n")[3:]))


def read_png_international_text(data):
    """Return what an `iTXt` chunk holds if it is XMP."""
    keyword, _, rest = data.partition(b"\0")
    if keyword != b"XML:com.adobe.xmp":
        return b""
    text = rest[2:].split(b"\0", 2)[2]
    return inflate(text) if rest[:1] == b"\1" else text


def inflate(data):
    """Return the beginning of what was compressed."""
    return zlib.decompressobj().decompress(data, MAX_METADATA_BYTES)


READERS = {
    "app": bytes,
    "EXIF": bytes,
    "eXIf": bytes,
    "XMP ": bytes,
    "tEXt": read_png_text,
    "zTXt": read_png_text,
    "iTXt": read_png_international_text,
}


def upright(image, orientation):
    """Return a `PIL.Image` turned upright."""
    if orientation == 1:
        return image
    Image = require("PIL.Image")
    return image.transpose(Image.Transpose[TRANSPOSES[orientation]])
