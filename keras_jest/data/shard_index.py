"""Where the records of tar shards lie, in a few arrays."""

import collections
import os

import numpy as np

from keras_jest.data.lost_samples import estimate_lost
from keras_jest.data.record_index import RecordIndex


class ShardIndex(RecordIndex):
    """The place of each record's bytes; small, and quick to pickle.

    Args:
        shards: Array of shape `(n,)`, int32: the number of a record's shard.
        spans: Array of shape `(n, 3, 2)`, int64: offset and size of picture,
            caption and JSON in the shard. No JSON is a size of 0.
        others: as in `RecordIndex`.
    """

    FORMAT = "keras_jest.data.TarShards"
    VERSION = 2
    ARRAYS = ("shards", "spans")

    @classmethod
    def from_scans(cls, scans):
        """Make the index from the closed `ShardScan` of each shard."""
        counts = [scan.num_samples for scan in scans]
        return cls(
            np.frombuffer(b"".join(scan.keys for scan in scans), "uint8"),
            np.cumsum(np.concatenate([scan.key_sizes for scan in scans])),
            [sample for scan in scans for sample in scan.bad],
            {
                "lost": estimate_lost(scans),
                "endings": total(scan.endings for scan in scans),
                "foreign": total(scan.foreign for scan in scans),
            },
            shards=np.repeat(np.arange(len(scans), dtype="int32"), counts),
            spans=np.concatenate([scan.spans for scan in scans]),
        )


def total(counts):
    """Return the sum of dicts of counts, the most frequent first."""
    added = collections.Counter()
    for numbers in counts:
        added.update(numbers)
    return dict(added.most_common())


def index_stamp(paths, names, limits):
    """Return what an index depends on, as JSON has it."""
    shards = []
    for path in paths:
        try:
            stat = os.stat(path)
            shards.append([stat.st_size, stat.st_mtime_ns])
        except OSError:  # The scan counts it as unreadable.
            shards.append(None)
    return {"names": names, "shards": shards, "limits": list(limits)}
