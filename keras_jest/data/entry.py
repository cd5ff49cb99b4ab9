"""A record's files or bytes before they are read, and their check."""

import contextlib
import hashlib
import io
import os
import stat
from typing import NamedTuple

from keras_jest.data.check_sample import Fault
from keras_jest.data.check_sample import check_caption
from keras_jest.data.check_sample import check_image
from keras_jest.data.check_sample import check_json
from keras_jest.data.check_sample import check_text
from keras_jest.data.decode_image import MAX_IMAGE_BYTES
from keras_jest.data.decode_image import MAX_PIXELS
from keras_jest.data.tar_members import TarMember

MAX_CAPTION_BYTES = 2**14


class Entry(NamedTuple):
    """Where the parts of a record are: bytes, or a str, the path of a file.

    `name` is what the record is called where it stands, `""` if nothing, and
    `fault` the kind of what is wrong with it already.
    """

    name: str
    image: bytes | str | None
    caption: bytes | str | None
    json: str | None = None
    fault: str | None = None


def check_entry(entry, check_pixels):
    """Raise a `Fault` unless an entry is a sound record.

    Args:
        entry: `Entry`.
        check_pixels: bool. Whether to decode the picture, to its last pixel.
    """
    if entry.fault:
        raise Fault(entry.fault)
    if isinstance(entry.caption, bytes):
        check_caption(entry.caption, MAX_CAPTION_BYTES)
    else:
        with opened(entry.caption, "missing_caption") as (file, whole):
            check_text(file, whole, MAX_CAPTION_BYTES)
    if entry.json is not None:
        with opened(entry.json, "bad_json") as (file, whole):
            check_json(file, whole)
    if check_pixels:
        with opened(entry.image, "missing_image") as (file, whole):
            check_image(file, whole, MAX_IMAGE_BYTES, MAX_PIXELS)
    else:
        check_size(size_of(entry.image, "missing_image"))


def check_size(num_bytes):
    """What can be said of a picture that is not read."""
    if num_bytes > MAX_IMAGE_BYTES:
        raise Fault("image_too_large")
    if not num_bytes:
        raise Fault("undecodable_image")


@contextlib.contextmanager
def opened(part, missing):
    """Open a part of a record, and tell how long it is.

    Args:
        part: bytes, str or `None`.
        missing: str. The kind of fault if there is none.

    Returns:
        A context with a binary file and a `TarMember` that is all of it.
    """
    whole = TarMember("", 0, size_of(part, missing))
    if isinstance(part, bytes):
        yield io.BytesIO(part), whole
        return
    try:
        file = open(part, "rb", buffering=0)
    except OSError:
        raise Fault("unreadable_file") from None
    with file:
        try:
            yield file, whole
        except OSError:
            raise Fault("unreadable_file") from None


def size_of(part, missing):
    """How many bytes a part has; raise if it is none to be read."""
    if part is None:
        raise Fault(missing)
    if isinstance(part, bytes):
        return len(part)
    try:
        found = os.stat(part)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        # A zero byte in a path is a ValueError.
        raise Fault("remote_image" if "://" in part else missing) from None
    except OSError:
        raise Fault("unreadable_file") from None
    if not stat.S_ISREG(found.st_mode):  # To open a pipe would wait for it.
        raise Fault("not_a_file")
    return found.st_size


def read_part(part):
    """The bytes of a part."""
    if isinstance(part, bytes):
        return part
    with open(part, "rb") as file:
        return file.read()


def content_digest(entry):
    """A text that no other picture with a caption has.

    Of a picture in a file, whose path tells it from others, only the caption
    is read.
    """
    hashed = hashlib.blake2b(digest_size=8)
    for part in (entry.image, entry.caption):
        part = part if isinstance(part, bytes) else b""
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)
    return hashed.hexdigest()
