"""The index of tar shards: read from its file, or made and kept there."""

import concurrent.futures
import os

import keras

from keras_jest.data.record_index import kept_index
from keras_jest.data.shard_identity import checked_keys
from keras_jest.data.shard_index import ShardIndex
from keras_jest.data.tar_samples import scan_shard


def open_index(index_path, stamp, paths, names, identity, verbose):
    """Return the index of shards, with the identities of their records.

    Args:
        index_path: str, path or `None`, as in `TarShards`.
        stamp: dict. What `index_stamp` returned.
        paths: list of str. The shards.
        names: list of str. Their names.
        identity: str, as in `TarShards`.
        verbose: 0 or 1, as in `TarShards`.

    Raises:
        ValueError: The file is none of ours, or the identities are not
            unique.
    """
    return kept_index(
        ShardIndex,
        index_path,
        stamp,
        lambda: build_index(paths, names, stamp["limits"], verbose),
        lambda index: checked_keys(index, names, paths, identity),
        identity,
    )


def build_index(paths, names, limits, verbose):
    """Scan all shards, some at a time."""
    shards = list(zip(paths, names, strict=True))
    progress = keras.utils.Progbar(
        len(paths), verbose=verbose, unit_name="shard"
    )

    scans = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        # `map` drops what has not begun when the user interrupts it.
        for scan in threads.map(lambda job: scan_shard(*job, *limits), shards):
            scans.append(scan)
            progress.add(1)
    return ShardIndex.from_scans(scans)
