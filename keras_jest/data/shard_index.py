"""Where the records of tar shards lie, in a few arrays."""

import collections
import json
import os

import numpy as np

from keras_jest.data.lost_samples import estimate_lost
from keras_jest.data.shard_scan import BadSample
from keras_jest.data.whole_file import whole_file

FORMAT = "keras_jest.data.TarShards"
VERSION = 2


class ShardIndex:
    """The place of each record's bytes; small, and quick to pickle.

    Args:
        shards: Array of shape `(n,)`, int32: the number of a record's shard.
        spans: Array of shape `(n, 3, 2)`, int64: offset and size of picture,
            caption and JSON in the shard. No JSON is a size of 0.
        key_bytes: Array of uint8: all keys in UTF-8, end to end.
        key_ends: Array of shape `(n,)`, int64: where each key ends.
        bad: list of `BadSample`s.
        report: dict of what else was counted, as JSON has it: `"lost"` (a
            number a shard, estimated), `"endings"` (of refused samples) and
            `"foreign"` (members that are no part of one) with their counts.
        identity: str or `None`. What the records' identities are made of.
        identities: Array of shape `(n, 4)`, int32, or `None`: those.
    """

    def __init__(
        self,
        shards,
        spans,
        key_bytes,
        key_ends,
        bad,
        report,
        identity=None,
        identities=None,
    ):
        self.shards = shards
        self.spans = spans
        self.key_bytes = key_bytes
        self.key_ends = key_ends
        self.bad = bad
        self.report = report
        self.identity, self.identities = identity, identities

    @classmethod
    def from_scans(cls, scans):
        """Make the index from the closed `ShardScan` of each shard."""
        counts = [scan.num_samples for scan in scans]
        return cls(
            np.repeat(np.arange(len(scans), dtype="int32"), counts),
            np.concatenate([scan.spans for scan in scans]),
            np.frombuffer(b"".join(scan.keys for scan in scans), "uint8"),
            np.cumsum(np.concatenate([scan.key_sizes for scan in scans])),
            [sample for scan in scans for sample in scan.bad],
            {
                "lost": estimate_lost(scans),
                "endings": total(scan.endings for scan in scans),
                "foreign": total(scan.foreign for scan in scans),
            },
        )

    @classmethod
    def load(cls, path, stamp):
        """Read an index, or return None if there is none with that stamp.

        One of another version is made anew, as one of other shards is.
        """
        if not os.path.exists(path):
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                header = json.loads(arrays["header"].tobytes())
                name, _, version = header["format"].rpartition(" ")
                if name != FORMAT:
                    raise ValueError("another format")
                if version != str(VERSION) or header["stamp"] != stamp:
                    return None
                return cls(
                    arrays["shards"],
                    arrays["spans"],
                    arrays["key_bytes"],
                    arrays["key_ends"],
                    [BadSample(*sample) for sample in header["bad"]],
                    header["report"],
                    # Those of version 0.1.0 have none.
                    header.get("identity"),
                    arrays.get("identities"),
                )
        except Exception as error:  # `numpy.load` raises many types.
            raise ValueError(
                "Expected `index_path` to be a file that `TarShards` wrote, "
                "or none yet. Delete it or name another. Received: "
                f"index_path={str(path)!r} ({error})"
            ) from error

    def save(self, path, stamp):
        """Write the index, whole or not at all."""
        header = {
            "format": f"{FORMAT} {VERSION}",
            "stamp": stamp,
            "bad": self.bad,
            "report": self.report,
            "identity": self.identity,
        }
        arrays = {"shards": self.shards, "spans": self.spans}
        if self.identity is not None:
            arrays["identities"] = self.identities
        with whole_file(path) as file:
            np.savez(
                file,
                header=np.frombuffer(json.dumps(header).encode(), "uint8"),
                key_bytes=self.key_bytes,
                key_ends=self.key_ends,
                **arrays,
            )

    def __len__(self):
        return len(self.shards)

    def key(self, number):
        """Return the key of a record."""
        start = self.key_ends[number - 1] if number else 0
        key = self.key_bytes[start : self.key_ends[number]]
        return key.tobytes().decode("utf-8")

    def each_key(self):
        """Yield all keys in UTF-8."""
        keys, start = self.key_bytes.tobytes(), 0
        for end in self.key_ends.tolist():
            yield keys[start:end]
            start = end

    def __getstate__(self):
        """Workers that read records need not know the identities of all."""
        return {**self.__dict__, "identity": None, "identities": None}


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
