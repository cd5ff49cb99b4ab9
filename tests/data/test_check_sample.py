"""What a shard holds is judged in little memory, and named in few words."""

import io
import os
import re
import struct
import subprocess
import sys
import tarfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tar_writer import picture
from tar_writer import sample
from tar_writer import write_tar

from keras_jest.data import TarShards
from keras_jest.data import load_arrays
from keras_jest.data.short_name import short_name

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:TarShards skips"),
]

# In a fresh process: how far memory rose above what was held before, in MB.
PEAK = """
import os, sys, warnings
warnings.simplefilter('ignore')
from keras_jest.data import TarShards

def kilobytes(field):
    with open('/proc/self/status') as status:
        return next(int(s.split()[1]) for s in status if s.startswith(field))

os.cpu_count = lambda: 2
before = kilobytes('VmRSS')
records = TarShards(sys.argv[1], max_bad_share=1, verbose=0)
peak = (kilobytes('VmHWM') - before) * 1024 // 10**6
sys.stdout.write(repr((len(records), records.bad_counts, peak)))
"""


def scan(folder):
    """Return how many records a fresh process kept, what was bad, its peak."""
    result = subprocess.run(
        [sys.executable, "-c", PEAK, os.fspath(folder)],
        capture_output=True,
        check=True,
        text=True,
    )
    return eval(result.stdout)  # Of our own making.


def encoded(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def large_pictures():
    """Pictures of up to 50 million pixels in files of some 100 kB."""
    for mode in ("P", "RGBA", "I;16"):
        transparent = {"transparency": 0} if mode == "P" else {}
        image = Image.new(mode, (7094, 7094))
        yield "png", encoded(image, "PNG", compress_level=1, **transparent)
    image = Image.new("CMYK", (7000, 7000))
    yield "jpg", encoded(image, "JPEG", quality=10)
    image = Image.new("RGB", (4000, 4000))
    yield "jpg", encoded(image, "JPEG", progressive=True, subsampling=0)
    yield "webp", encoded(Image.new("RGBA", (3600, 3600)), "WEBP", method=0)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_pictures_take_little_memory(tmp_path):
    pictures = list(large_pictures())
    for shard in ("a", "b"):
        members = []
        for number, (extension, data) in enumerate(pictures):
            members.append((f"{number}.{extension}", data))
            members.append((f"{number}.txt", b"text"))
        write_tar(tmp_path / f"{shard}.tar", members)
    kept, bad, peak = scan(tmp_path)
    assert (kept, bad) == (2 * len(pictures), {})
    assert peak < 300


def exif_bomb(num_fields=5000, length=60_000):
    """A JPEG with many EXIF fields that share the same bytes."""
    table = b"".join(
        struct.pack("<HHII", tag, 7, length, 0) for tag in range(num_fields)
    )
    exif = b"II*\0" + struct.pack("<IH", 8, num_fields) + table
    exif = b"Exif\0\0" + exif.ljust(length, b"\0")
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    plain = encoded(Image.new("RGB", (8, 8)), "JPEG")
    # Without JFIF's resolution Pillow looks for that of EXIF.
    jfif = 4 + int.from_bytes(plain[4:6], "big")
    return plain[:2] + segment + plain[jfif:]


def text_bomb(num_chunks=60, length=2**20 - 4):
    """A PNG with compressed texts of which each takes 4 MB."""
    data = picture()
    text = "\U0001f408".encode() + b" " * length
    text = b"\0\1\0\0\0" + zlib.compress(text)
    chunks = b""
    for number in range(num_chunks):
        body = str(number).encode() + text
        chunks += struct.pack(">I", len(body)) + b"iTXt" + body
        chunks += struct.pack(">I", zlib.crc32(b"iTXt" + body))
    return data[:33] + chunks + data[33:]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_metadata_and_large_files_take_no_memory(tmp_path):
    members = [("a.jpg", exif_bomb()), ("a.txt", b"a")]
    members += [("b.png", text_bomb()), ("b.txt", b"b")]
    write_tar(tmp_path / "x.tar", members)
    large = tarfile.TarInfo("c.jpg")
    large.size = 800 * 2**20
    rest = write_tar(tmp_path / "y.tar", [("c.txt", b"c"), *sample(0)])
    members = rest.read_bytes()
    with open(rest, "wb") as file:
        file.write(large.tobuf())
        file.seek(large.size, os.SEEK_CUR)  # A hole takes no space on disk.
        file.write(members)
    kept, bad, peak = scan(tmp_path)
    assert (kept, bad) == (3, {"image_too_large": 1})
    assert peak < 60


def test_max_image_bytes(tmp_path):
    path = write_tar(tmp_path / "x.tar", sample(0))
    size = len(picture())
    records = TarShards(path, verbose=0, max_image_bytes=size)
    assert len(records) == 1
    records = TarShards(
        path, verbose=0, max_image_bytes=size - 1, max_bad_share=1.0
    )
    assert records.bad_counts == {"image_too_large": 1}


@pytest.mark.parametrize("size", [(1, 65_536), (65_536, 1), (7095, 7095)])
def test_sides_and_pixels_are_limited(tmp_path, size):
    data = encoded(Image.new("1", size), "PNG")
    members = [("a.png", data), ("a.txt", b"a")]
    path = write_tar(tmp_path / "x.tar", members)
    records = TarShards(path, verbose=0, max_bad_share=1.0)
    assert records.bad_counts == {"too_many_pixels": 1}


@given(st.text(max_size=500))
def test_short_names_keep_both_ends(name):
    short = short_name(name)
    assert len(short) <= 100
    assert short == name or (len(name) > 100 and "..." in short)
    assert short[:60] == name[:60] and short[-30:] == name[-30:]


def test_messages_are_short_whatever_a_member_is_called(tmp_path):
    name = "long" * 100_000
    good = [(f"{name}.png", picture()), (f"{name}.txt", b"text")]
    path = write_tar(
        tmp_path / "x.tar",
        [*good, (f"{name}1.png", b"noise"), (f"{name}1.txt", b"text")],
        tarfile.PAX_FORMAT,
    )
    with pytest.warns(UserWarning, match="skips 1 bad") as caught:
        records = TarShards(path, verbose=0, max_bad_share=0.5)
    messages = [str(caught[0].message)]
    with pytest.raises(ValueError, match="max_bad_share") as caught:
        TarShards(path, verbose=0)
    messages.append(str(caught.value))
    bad = records[0] | {"image": b"noise"}
    with pytest.raises(ValueError, match="is bad") as caught:
        load_arrays(
            [bad], lambda texts: [[0]] * len(texts), image_size=4, verbose=0
        )
    messages.append(str(caught.value))
    path.unlink()
    with pytest.raises(ValueError, match="x.tar") as caught:
        records[0]
    messages.append(str(caught.value))
    for message in messages:
        assert len(message) < 1000 and re.search("long.*[.][.][.].*g", message)
