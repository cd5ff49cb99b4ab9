"""Checks what the members of a sample hold: caption, JSON and picture."""

import json

from keras_jest.data.caption import is_blank
from keras_jest.data.caption import read_caption
from keras_jest.data.decode_image import MEMORY
from keras_jest.data.decode_image import TooManyPixels
from keras_jest.data.decode_image import check_picture
from keras_jest.data.spans_file import spans_file
from keras_jest.data.tar_members import read_at

MAX_JSON_BYTES = 2**20
# An empty list of 3 characters is an object of 64 bytes.
JSON_BYTES_PER_BYTE = 32


class Fault(Exception):
    """Ends the check of a sample; its text is the kind of fault."""


def check_text(file, member, max_caption_bytes):
    """Raise unless the member is a caption: some text in UTF-8."""
    if member.size > max_caption_bytes:
        raise Fault("caption_too_long")
    data = read_at(file, member.offset, member.size)
    check_caption(data, max_caption_bytes)


def check_caption(data, max_caption_bytes):
    """Raise unless these bytes are a caption: some text in UTF-8."""
    if len(data) > max_caption_bytes:
        raise Fault("caption_too_long")
    try:
        text = read_caption(data)
    except ValueError:
        raise Fault("caption_not_utf8") from None
    if is_blank(text):
        raise Fault("empty_caption")


def check_json(file, member):
    """Raise unless the member is a JSON object, if there is one."""
    if member is None:
        return
    if member.size > MAX_JSON_BYTES:
        raise Fault("json_too_long")
    try:
        with MEMORY.hold(member.size * JSON_BYTES_PER_BYTE):
            fields = json.loads(read_at(file, member.offset, member.size))
    except (ValueError, RecursionError):
        raise Fault("bad_json") from None
    if not isinstance(fields, dict):
        raise Fault("bad_json")


def check_image(file, member, max_image_bytes, max_pixels):
    """Raise unless the member is a picture that decodes to its end."""
    if member.size > max_image_bytes:
        raise Fault("image_too_large")
    try:
        picture = spans_file(file, [(member.offset, member.size)])
        check_picture(picture, member.size, max_pixels)
    except TooManyPixels:
        raise Fault("too_many_pixels") from None
    except ValueError:
        raise Fault("undecodable_image") from None
