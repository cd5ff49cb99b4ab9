"""Unpacks compressed shards once, so that records can be read at random."""

import bz2
import concurrent.futures
import contextlib
import gzip
import hashlib
import importlib
import lzma
import os
import re
import time

import keras

from keras_jest.data.tar_members import padded

GZIP = re.compile(rb"\x1f\x8b\x08")
BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
XZ = re.compile(rb"\xfd7zXZ\x00")
ZSTD = re.compile(rb"\x28\xb5\x2f\xfd")
CHUNK = 2**20
LONGEST_PAUSE = 3600  # Seconds between two writes of one process.


def unpack_shards(paths, names, index_path, verbose):
    """Return the paths to read: those of copies where shards are packed.

    The copies lie in the folder `<index_path>.unpacked`. A copy is whole or
    not there; its name has the size and time of its shard and its own size,
    so that it is made again when one of them is another.

    Args:
        paths: list of str. The shards.
        names: list of str. Their names.
        index_path: str, path or None. The file of the index.
        verbose: 0 or 1. Whether to show a progress bar if any is packed.

    Raises:
        ValueError: A shard is packed and there is no `index_path`, or it
            takes a library that is missing, or the disk is full.
    """
    openers = [find_opener(path) for path in paths]
    jobs = zip(paths, openers, strict=True)
    packed = [path for path, opener in jobs if opener]
    if not packed:
        return paths
    if not index_path:
        raise ValueError(
            "Expected `index_path` for compressed shards: they have no random "
            "access and are unpacked once, into a folder beside that file (or "
            f"unpack them yourself). Received: index_path={index_path}, "
            f"{len(packed)} compressed shards such as {packed[0]!r}"
        )
    folder = f"{os.fspath(index_path)}.unpacked"
    progress = keras.utils.Progbar(
        len(paths), verbose=verbose, unit_name="shard unpacked"
    )
    copies = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        jobs = threads.map(
            lambda path, name, opener: unpack(path, name, opener, folder),
            *(paths, names, openers),
        )
        for copy in jobs:
            copies.append(copy)
            progress.update(len(copies))
    return copies


def find_opener(path):
    """Return what opens a compressed file, by its first bytes, or None."""
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError:  # The scan counts it as unreadable.
        return None
    openers = {
        GZIP: gzip.open,
        BZIP2: bz2.open,
        XZ: lzma.open,
    }
    for magic, opener in openers.items():
        if magic.match(start):
            return opener
    return zstd_opener(path) if ZSTD.match(start) else None


def zstd_opener(path):
    """Return what opens a zstd file, from Python 3.14 or a package."""
    with contextlib.suppress(ImportError):
        return importlib.import_module("compression.zstd").open
    with contextlib.suppress(ImportError):
        decompressor = importlib.import_module("zstandard").ZstdDecompressor

        def open_zstd(path, mode):
            # Packers that work in parallel write many frames.
            return decompressor().stream_reader(
                open(path, mode), read_across_frames=True, closefd=True
            )

        return open_zstd
    raise ValueError(
        "Expected Python 3.14 or the package zstandard (`pip install "
        f"zstandard`) for shards packed with zstd. Received: {path!r}"
    )


def unpack(path, name, opener, folder):
    """Return the path of a shard's copy, which is made if it is not there.

    A shard that is not packed, for which there is no opener, is its own.
    """
    if opener is None:
        return path
    stat = os.stat(path)
    prefix = f"{os.path.basename(name)[:64]}-{digest(name)}-"
    stamp = digest(f"{stat.st_size} {stat.st_mtime_ns}")
    os.makedirs(folder, exist_ok=True)
    copies = {
        copy.name: copy
        for copy in os.scandir(folder)
        if copy.name.startswith(prefix)
    }
    for copy in copies.values():
        if copy.name == f"{prefix}{stamp}-{copy.stat().st_size}.tar":
            return copy.path
    unfinished = os.path.join(folder, f"{prefix}{os.getpid()}.part")
    try:
        size = write_copy(path, opener, unfinished)
        place = os.path.join(folder, f"{prefix}{stamp}-{size}.tar")
        os.replace(unfinished, place)
    except OSError as error:
        raise ValueError(
            f"Expected room to unpack {path!r} into {folder!r}, the folder "
            f"beside `index_path`. Received: {error}"
        ) from error
    finally:
        remove(unfinished)
    for copy in copies.values():
        if is_old(copy) and copy.path != place:
            remove(copy.path)
    return place


def is_old(copy):
    """Return whether no process is at work on a file."""
    is_part = copy.name.endswith(".part")
    return not is_part or time.time() - copy.stat().st_mtime > LONGEST_PAUSE


def remove(path):
    """Remove a file if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)


def digest(text):
    """Return a short name for a text."""
    data = text.encode("utf-8", "surrogateescape")
    return hashlib.blake2b(data, digest_size=6).hexdigest()


def write_copy(path, opener, place):
    """Unpack a shard as far as it goes, and return how many bytes came out."""
    with open(place, "wb+") as copy, opener(path, "rb") as packed:
        # Not `read`, which drops what it has when it comes upon a fault.
        for data in iter(lambda: read_some(packed), b""):
            copy.write(data or b"")
            if data is None:
                drop_end(copy)
                break
        copy.flush()
        os.fsync(copy.fileno())
        return copy.seek(0, os.SEEK_END)


def read_some(packed):
    """Return the next bytes, none at the end, None where it is broken."""
    try:
        return packed.read1(CHUNK)
    except Exception:  # Each library has its own.
        return None


def drop_end(copy):
    """Cut off the zeros that end a tar, so that it counts as cut.

    The stream broke, so that its check sum is not known to be right.
    """
    end = copy.seek(0, os.SEEK_END)
    start = copy.seek(max(0, end - CHUNK))
    used = start + len(copy.read().rstrip(b"\0"))
    copy.truncate(min(end, padded(used)))
