"""From the names of members to the key of a sample and what they are in it."""

import collections
from typing import NamedTuple

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")


class Group(NamedTuple):
    """Neighbours that share a key: a sample, if nothing is wrong with it.

    `members` is a dict of `TarMember`s by what follows the key.
    """

    key: str
    members: dict


def split_name(name):
    """Cut a member's name at the first dot of its file name."""
    folder, slash, base = name.removeprefix("./").rpartition("/")
    stem, _, extension = base.partition(".")
    if not stem or not extension:
        return folder + slash + base, ""
    return folder + slash + stem, extension.lower()


def stem_of(name):
    """Return a member's name up to the last dot of its file name."""
    folder, slash, base = name.removeprefix("./").rpartition("/")
    return folder + slash + (base.rpartition(".")[0] or base)


def is_image(extension):
    """Return whether an extension ends as a picture's does."""
    return extension.rpartition(".")[2] in IMAGE_EXTENSIONS


def is_text(extension):
    """Return whether an extension ends as a caption's does."""
    return extension.rpartition(".")[2] == "txt"


def images_of(group):
    """Return the pictures of a group, those of its parts if it has no other."""
    plain = [name for name in IMAGE_EXTENSIONS if name in group.members]
    return [
        group.members[name] for name in plain or filter(is_image, group.members)
    ]


def lost_keys(group):
    """Return a key for each picture, or else caption, that a group has.

    Pictures in parts of a sample count if they have captions of their own.
    """
    keys = [stem_of(member.name) for member in images_of(group)]
    keys += sorted(paired_stems(group).difference(keys))
    texts = [m for ending, m in group.members.items() if is_text(ending)]
    return keys or [stem_of(text.name) for text in texts] or [group.key]


def split_at_last_dot(group):
    """Read `photo.0001.jpg`, `photo.0001.txt`, ... as a sample a number.

    WebDataset's key ends at the first dot, so that all of them are one group
    without a picture or a caption (`jpg`, `txt`) of its own. Only such a group
    is split, and only if a picture and a caption have the rest of their name
    in common: `0.left.jpg`, `0.right.jpg`, `0.txt` stay one sample.

    Returns:
        A list of `Group`s: those that were found, or the group itself.
    """
    if any(name in group.members for name in (*IMAGE_EXTENSIONS, "txt")):
        return [group]
    pairs = paired_stems(group)
    if not pairs:
        return [group]
    samples = collections.defaultdict(dict)
    for member in group.members.values():
        stem = longest_prefix(stem_of(member.name), pairs)
        extension = member.name.removeprefix("./")[len(stem) + 1 :]
        samples[stem][extension.lower()] = member
    return [Group(*sample) for sample in samples.items()]


def paired_stems(group):
    """Return the stems that a picture and a caption of a group share."""
    images, texts = set(), set()
    for extension, member in group.members.items():
        if is_image(extension):
            images.add(stem_of(member.name))
        elif is_text(extension):
            texts.add(stem_of(member.name))
    return images & texts


def longest_prefix(stem, pairs):
    """Return the sample that `stem` is a part of, or the stem itself."""
    prefix = stem
    while prefix not in pairs:
        prefix, dot, _ = prefix.rpartition(".")
        if not dot:
            return stem
    return prefix
