"""Which records are sound, what they are called, and which are not."""

import contextlib
import json
import os

import numpy as np

from keras_jest.data.bad_sample import BadSample
from keras_jest.data.whole_file import whole_file


class RecordIndex:
    """What the check of records found, small, and quick to pickle.

    Args:
        key_bytes: Array of uint8: all keys in UTF-8, end to end.
        key_ends: Array of shape `(n,)`, int64: where each key ends.
        bad: list of `BadSample`s.
        report: dict of what else was counted, as JSON has it: `"lost"` (a
            number a shard, estimated), `"endings"` (of refused samples) and
            `"foreign"` (files that are no part of one) with their counts.
        identity: str or `None`. What the records' identities are made of.
        identities: Array of shape `(n, 4)`, int32, or `None`: those.
        **arrays: those that a subclass names in `ARRAYS`.
    """

    FORMAT = "keras_jest.data.CheckedRecords"
    VERSION = 1
    ARRAYS: tuple[str, ...] = ("rows",)

    def __init__(
        self,
        key_bytes,
        key_ends,
        bad,
        report,
        identity=None,
        identities=None,
        **arrays,
    ):
        self.key_bytes = key_bytes
        self.key_ends = key_ends
        self.bad = bad
        self.report = report
        self.identity, self.identities = identity, identities
        for name in self.ARRAYS:
            setattr(self, name, arrays[name])

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
                if name != cls.FORMAT:
                    raise ValueError("another format")
                if version != str(cls.VERSION) or header["stamp"] != stamp:
                    return None
                return cls(
                    arrays["key_bytes"],
                    arrays["key_ends"],
                    [BadSample(*sample) for sample in header["bad"]],
                    header["report"],
                    # Those of version 0.1.0 have none.
                    header.get("identity"),
                    arrays.get("identities"),
                    **{name: arrays[name] for name in cls.ARRAYS},
                )
        except Exception as error:  # `numpy.load` raises many types.
            reader = cls.FORMAT.rpartition(".")[2]
            raise ValueError(
                f"Expected `index_path` to be a file that `{reader}` wrote, "
                "or none yet. Delete it or name another. Received: "
                f"index_path={str(path)!r} ({error})"
            ) from error

    def save(self, path, stamp):
        """Write the index, whole or not at all."""
        header = {
            "format": f"{self.FORMAT} {self.VERSION}",
            "stamp": stamp,
            "bad": self.bad,
            "report": self.report,
            "identity": self.identity,
        }
        arrays = {name: getattr(self, name) for name in self.ARRAYS}
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
        return len(self.key_ends)

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


def make_folder_of(index_path):
    """Make the folder of an index, which is missed when all was scanned."""
    if index_path:
        folder = os.path.dirname(os.path.abspath(index_path))
        os.makedirs(folder, exist_ok=True)


def kept_index(kind, path, stamp, build, identify, identity):
    """Return an index with identities, from its file or made and kept there.

    Args:
        kind: class, `RecordIndex` or a subclass.
        path: str, path or `None`. The file.
        stamp: dict for JSON. What the index depends on.
        build: function that makes the index.
        identify: function that makes the identities of an index.
        identity: str. What they are made of.

    Raises:
        ValueError: The file is none of ours, or the identities are not
            unique.
    """
    index = kind.load(path, stamp) if path else None
    if index is None:
        index = build()
        if path:
            index.save(path, stamp)
    if index.identity != identity:
        index.identities = identify(index)
        index.identity = identity
        if path:  # It may be another's, that can only be read.
            with contextlib.suppress(OSError):
                index.save(path, stamp)
    return index
