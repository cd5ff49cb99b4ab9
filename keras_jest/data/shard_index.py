"""Where the records of tar shards lie, in a few arrays."""

import json
import os

import numpy as np

from keras_jest.data.tar_samples import BadSample

FORMAT = "keras_jest.data.TarShards 1"


class ShardIndex:
    """The place of each record's bytes; small, and quick to pickle.

    Args:
        shards: Array of shape `(n,)`, int32: the number of a record's shard.
        spans: Array of shape `(n, 3, 2)`, int64: offset and size of picture,
            caption and JSON in the shard. No JSON is a size of 0.
        key_bytes: Array of uint8: all keys in UTF-8, end to end.
        key_ends: Array of shape `(n,)`, int64: where each key ends.
        bad: list of `BadSample`s.
    """

    def __init__(self, shards, spans, key_bytes, key_ends, bad):
        self.shards = shards
        self.spans = spans
        self.key_bytes = key_bytes
        self.key_ends = key_ends
        self.bad = bad

    @classmethod
    def from_scans(cls, scans):
        """Make the index from the `(samples, bad)` of each shard.

        `scans` may be a generator: of a scan only arrays are kept, since a
        million samples as objects would take a gigabyte.
        """
        counts, spans, keys, key_sizes, all_bad = [], [], [], [], []
        for samples, bad in scans:
            encoded = [sample.key.encode("utf-8") for sample in samples]
            counts.append(len(samples))
            spans.append(np.array([spans_of(s) for s in samples], "int64"))
            keys.append(b"".join(encoded))
            key_sizes.append(np.array([len(key) for key in encoded], "int64"))
            all_bad += bad
        return cls(
            np.repeat(np.arange(len(counts), dtype="int32"), counts),
            np.concatenate([part.reshape(-1, 3, 2) for part in spans]),
            np.frombuffer(b"".join(keys), "uint8"),
            np.cumsum(np.concatenate(key_sizes)),
            all_bad,
        )

    @classmethod
    def load(cls, path, stamp):
        """Read an index, or return None if there is none with that stamp."""
        if not os.path.exists(path):
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                header = json.loads(arrays["header"].tobytes())
                if header["format"] != FORMAT:
                    raise ValueError("another format")
                if header["stamp"] != stamp:
                    return None
                return cls(
                    arrays["shards"],
                    arrays["spans"],
                    arrays["key_bytes"],
                    arrays["key_ends"],
                    [BadSample(*sample) for sample in header["bad"]],
                )
        except Exception as error:  # `numpy.load` raises many types.
            raise ValueError(
                "Expected `index_path` to be a file that `TarShards` wrote, "
                "or none yet. Delete it or name another. Received: "
                f"index_path={str(path)!r} ({error})"
            ) from error

    def save(self, path, stamp):
        """Write the index, whole or not at all."""
        header = {"format": FORMAT, "stamp": stamp, "bad": self.bad}
        unfinished = f"{path}.{os.getpid()}.part"
        with open(unfinished, "wb") as file:
            np.savez(
                file,
                header=np.frombuffer(json.dumps(header).encode(), "uint8"),
                shards=self.shards,
                spans=self.spans,
                key_bytes=self.key_bytes,
                key_ends=self.key_ends,
            )
        os.replace(unfinished, path)

    def __len__(self):
        return len(self.shards)

    def key(self, number):
        """Return the key of a record."""
        start = self.key_ends[number - 1] if number else 0
        key = self.key_bytes[start : self.key_ends[number]]
        return key.tobytes().decode("utf-8")


def spans_of(sample):
    """Return offset and size of picture, caption and JSON."""
    members = (sample.image, sample.text, sample.json)
    return [(m.offset, m.size) if m else (0, 0) for m in members]
