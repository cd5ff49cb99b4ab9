"""Makes small tars, sound and faulty, for the tests of this folder."""

import io
import struct
import tarfile
import zlib

from PIL import Image

COLOURS = ("red", "green", "blue", "orange", "purple")


def picture(number=0, format="PNG", size=(12, 8)):
    """The bytes of a small picture."""
    file = io.BytesIO()
    colour = COLOURS[number % len(COLOURS)]
    Image.new("RGB", size, colour).save(file, format)
    return file.getvalue()


def sample(number):
    """The members of a sound sample: a list of (name, bytes)."""
    return [
        (f"s{number}.png", picture(number)),
        (f"s{number}.txt", f"caption {number}".encode()),
    ]


def write_tar(path, members, format=tarfile.USTAR_FORMAT):
    """Write `(name, bytes)` pairs, or `tarfile.TarInfo`s without bytes."""
    with tarfile.open(path, "w", format=format) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, data = member
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def link(name, target, type=tarfile.SYMTYPE):
    """A symbolic or hard link."""
    info = tarfile.TarInfo(name)
    info.type = type
    info.linkname = target
    return info


def png_that_claims(width, height):
    """A PNG whose header claims that size over a few bytes of pixels."""

    def chunk(name, data):
        check = zlib.crc32(name + data)
        return (
            struct.pack(">I", len(data))
            + name
            + data
            + struct.pack(">I", check)
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + chunk(b"IEND", b"")
    )
