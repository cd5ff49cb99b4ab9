"""From the members of one shard to its sound samples and its bad ones."""

import os
import re
from typing import NamedTuple

from keras_jest.data.check_sample import Fault
from keras_jest.data.check_sample import check_image
from keras_jest.data.check_sample import check_json
from keras_jest.data.check_sample import check_text
from keras_jest.data.tar_members import TarMember
from keras_jest.data.tar_members import tar_members

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")


class Sample(NamedTuple):
    """A sound sample: its key and the members to read; `json` may be None."""

    key: str
    image: TarMember
    text: TarMember
    json: TarMember | None


class BadSample(NamedTuple):
    """A sample that is left out: why, and where it stands."""

    kind: str
    shard: str
    key: str


def scan_shard(path, shard, max_pixels, max_caption_bytes, max_image_bytes):
    """Check every sample of a tar file, down to the last pixel.

    Args:
        path: str. The tar file.
        shard: str. Its name in the report.
        max_pixels: int. More make a picture bad.
        max_caption_bytes: int. More make a caption bad.
        max_image_bytes: int. More make a picture bad, unread.

    Returns:
        A tuple `(samples, bad)` of a list of `Sample`s and a list of
        `BadSample`s. Each sample that has a member is in one of the two.
    """
    samples, bad, seen = [], [], set()
    try:
        with open(path, "rb", buffering=0) as file:
            num_bytes = os.fstat(file.fileno()).st_size
            for key, group in group_members(tar_members(file, num_bytes)):
                try:
                    sample = as_sample(key, group, seen)
                    check_text(file, sample.text, max_caption_bytes)
                    check_json(file, sample.json)
                    check_image(file, sample.image, max_image_bytes, max_pixels)
                    samples.append(sample)
                except Fault as fault:
                    bad.append(BadSample(str(fault), shard, key))
    except OSError:
        bad.append(BadSample("unreadable_shard", shard, ""))
    return samples, bad


def group_members(members):
    """Yield `(key, {extension: member})` for neighbours that share a key.

    An extension that comes again begins another sample. Faults of the archive
    come alone, with an empty key.
    """
    key, group = "", {}
    for member in members:
        if not member.name:
            yield "", {"": member}
            continue
        next_key, extension = split_name(member.name)
        if group and (next_key != key or extension in group):
            yield key, group
            group = {}
        key = next_key
        group[extension] = member
    if group:
        yield key, group


def split_name(name):
    """Cut a member's name at the first dot of its file name."""
    folder, slash, base = name.removeprefix("./").rpartition("/")
    stem, _, extension = base.partition(".")
    if not stem or not extension:
        return folder + slash + base, ""
    return folder + slash + stem, extension.lower()


def as_sample(key, group, seen):
    """Return the members of a sample if none is missing, double or unsafe."""
    for member in group.values():
        if member.fault:
            raise Fault(member.fault)
    if is_unsafe(key):
        raise Fault("unsafe_name")
    if key in seen:
        raise Fault("duplicate_key")
    seen.add(key)
    images = [group[name] for name in IMAGE_EXTENSIONS if name in group]
    if not images and "txt" not in group:
        raise Fault("not_a_sample")
    if not images:
        raise Fault("missing_image")
    if len(images) > 1:
        raise Fault("several_images")
    if "txt" not in group:
        raise Fault("missing_caption")
    return Sample(key, images[0], group["txt"], group.get("json"))


def is_unsafe(key):
    """Return whether a name, were it a path, leads out of its folder."""
    parts = re.split(r"[/\\]", key)
    return parts[0] == "" or ":" in parts[0] or ".." in parts
