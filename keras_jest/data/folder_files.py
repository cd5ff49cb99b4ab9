"""The files in a folder and in those below it."""

import collections
import concurrent.futures
import os

import numpy as np

from keras_jest.data.foreign_members import foreign_kind

FILES_AT_A_TIME = 4096


def folder_files(path):
    """List the files that may be parts of samples.

    Links are followed, but none to a folder that it lies in.

    Args:
        path: str. The folder.

    Returns:
        Tuple of a list of str, the files by their paths within the folder,
        with slashes; a dict of counts of files that are none of samples, by
        kind; and a list of the folders that cannot be read.
    """
    files, foreign, unreadable = [], collections.Counter(), []
    folders = [("", (os.path.realpath(path),))]
    while folders:
        folder, above = folders.pop()
        try:
            found = list(os.scandir(os.path.join(path, folder)))
        except OSError:
            unreadable.append(folder)
            continue
        for entry in found:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if not is_folder(entry):
                kind = foreign_kind(name)
                foreign.update([kind] if kind else ())
                files += [] if kind else [name]
            elif foreign_kind(f"{name}/"):
                foreign["system"] += 1
            else:
                real = os.path.realpath(entry.path)
                if real not in above:
                    folders.append((name, (*above, real)))
    return files, dict(foreign), unreadable


def is_folder(entry):
    """Whether an entry of a folder is, or leads to, one."""
    try:
        return entry.is_dir()
    except OSError:  # A link to itself.
        return False


def stats_of(paths):
    """Size and time of files: int64 array `(n, 2)`, -1 where there is none."""
    stats = np.full((len(paths), 2), -1, "int64")

    def fill(start):
        for row in range(start, min(start + FILES_AT_A_TIME, len(paths))):
            try:
                found = os.stat(paths[row])
                stats[row] = found.st_size, found.st_mtime_ns
            except (OSError, ValueError):  # The scan counts it as missing.
                continue

    starts = range(0, len(paths), FILES_AT_A_TIME)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        for _ in threads.map(fill, starts):
            pass
    return stats
