"""From the members of one shard to its sound samples and its bad ones."""

import os
import re

from keras_jest.data.check_sample import Fault
from keras_jest.data.check_sample import check_image
from keras_jest.data.check_sample import check_json
from keras_jest.data.check_sample import check_text
from keras_jest.data.sample_groups import Hole
from keras_jest.data.sample_groups import SampleGroups
from keras_jest.data.sample_names import IMAGE_EXTENSIONS
from keras_jest.data.sample_names import images_of
from keras_jest.data.sample_names import is_image
from keras_jest.data.sample_names import is_text
from keras_jest.data.shard_scan import Sample
from keras_jest.data.shard_scan import ShardScan
from keras_jest.data.tar_members import tar_members


def scan_shard(path, shard, max_pixels, max_caption_bytes, max_image_bytes):
    """Check every sample of a tar file, down to the last pixel.

    Args:
        path: str. The tar file.
        shard: str. Its name in the report.
        max_pixels: int. More make a picture bad.
        max_caption_bytes: int. More make a caption bad.
        max_image_bytes: int. More make a picture bad, unread.

    Returns:
        A `ShardScan`. Each picture that has a member is in its `samples` or
        in `bad`.
    """
    scan, groups, sound, keys = ShardScan(shard), SampleGroups(()), set(), set()
    try:
        with open(path, "rb", buffering=0) as file:
            num_bytes = os.fstat(file.fileno()).st_size
            groups = SampleGroups(tar_members(file, num_bytes))
            for group in groups:
                keys.add(group.key)
                try:
                    sample = as_sample(group, sound)
                    check_text(file, sample.text, max_caption_bytes)
                    check_json(file, sample.json)
                    check_image(file, sample.image, max_image_bytes, max_pixels)
                    scan.keep(sample, group)
                    sound.add(sample.key)
                except Fault as fault:
                    hole = groups.hole_beside(group)
                    scan.refuse(str(fault), group, hole)
    except OSError:
        groups.holes.append(Hole("unreadable_shard", 0))
        groups.cut = groups.cut_inside = True
    scan.close(groups, keys)
    return scan


def as_sample(group, sound):
    """Return the members of a sample if none is missing, double or unsafe.

    `sound` has the keys that are taken. A sample that is bad takes none: a
    whole one may come later.
    """
    members, images = group.members, images_of(group)
    for extension, member in members.items():
        read = is_image(extension) or is_text(extension) or extension == "json"
        if read and member.fault:
            raise Fault(member.fault)
    if is_unsafe(group.key):
        raise Fault("unsafe_name")
    plain = any(map(members.get, IMAGE_EXTENSIONS))
    if not plain and (not images or any(map(is_text, members))):
        raise Fault("missing_image")
    if plain and len(images) > 1:
        raise Fault("several_images")
    if "txt" not in members:
        raise Fault("missing_caption")
    if group.key in sound:
        raise Fault("duplicate_key")
    return Sample(group.key, images[0], members["txt"], members.get("json"))


def is_unsafe(key):
    """Return whether a name, were it a path, leads out of its folder."""
    parts = re.split(r"[/\\]", key)
    return parts[0] == "" or ":" in parts[0] or ".." in parts
