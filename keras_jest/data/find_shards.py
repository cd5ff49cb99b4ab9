"""From paths, folders and patterns to the shards that they mean."""

import glob
import os
import pathlib
import re

from keras_jest.data.expand_braces import expand_braces

SHARD = re.compile(r"(.*)\.(tar(\.(gz|bz2|xz|zst))?|tgz|tbz2?|txz|tzst)", re.I)
KINDS = "`.tar`, `.tar.gz`, `.tgz`, `.tar.bz2`, `.tar.xz` or `.tar.zst`"


def find_shards(paths):
    """Return the tar files that paths, folders and patterns mean.

    What exists by its very name is that; then stars and braces count. Of files
    that are one shard by their names (`0.tar`, `0.tar.gz`) one is read, the
    unpacked if there is one.

    Raises:
        ValueError: A path or pattern means nothing, or one of the paths that
            its braces mean is not there.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    shards = [shard for path in paths for shard in shards_of(os.fspath(path))]
    shards = list(dict.fromkeys(os.path.abspath(shard) for shard in shards))
    # The sort is stable: of equals a `.tar` comes last and stays.
    chosen = sorted(shards[::-1], key=lambda shard: shard.endswith(".tar"))
    chosen = {unpacked_name(shard): shard for shard in chosen}
    return [shard for shard in shards if chosen[unpacked_name(shard)] == shard]


def shards_of(path):
    """Return the tar files of one path, folder or pattern."""
    found = files_of(path)
    if found:
        return found
    choices = [(choice, files_of(choice)) for choice in expand_braces(path)]
    missing = [choice for choice, files in choices if not files]
    if len(choices) > 1 and missing:
        shown = ", ".join(map(repr, missing[:5]))
        raise ValueError(
            "Expected a tar file for each choice of the braces; a pattern with "
            "a star takes what there is. Received: "
            f"{path!r}, of which {len(missing)} of {len(choices)} are missing: "
            f"{shown}{', ...' if len(missing) > 5 else ''}"
        )
    if missing:
        raise ValueError(
            f"Expected tar files ({KINDS}), folders of them or patterns with "
            "`*` or braces (`{000..003}.tar`) that match some. Received: "
            f"{path!r}, where there is none"
        )
    return [file for _, files in choices for file in files]


def files_of(path):
    """Return the files of a path without braces, or with them in its name."""
    if os.path.isdir(path):
        files = glob.glob(os.path.join(glob.escape(path), "*"))
        return sorted(filter(SHARD.fullmatch, files))
    if os.path.lexists(path):
        return [path]
    return sorted(glob.glob(path, recursive=True))


def unpacked_name(path):
    """Return the path that a shard has, or would have, when it is unpacked."""
    match = SHARD.fullmatch(path)
    return f"{match[1]}.tar" if match else path


def shard_names(paths):
    """Return short names that tell the shards apart wherever they lie."""
    names = [os.path.basename(path) for path in paths]
    if len(set(names)) < len(names):
        common = os.path.commonpath(paths)
        names = [pathlib.Path(path).relative_to(common) for path in paths]
        names = [name.as_posix() for name in names]
    return names
