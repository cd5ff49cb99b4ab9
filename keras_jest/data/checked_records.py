"""Records that are checked once, wherever they lie."""

import collections
import operator
from typing import Any
from typing import SupportsIndex

import numpy as np

from keras_jest.data.caption import read_caption
from keras_jest.data.entry import read_part
from keras_jest.data.fingerprint import digest
from keras_jest.data.identity import KEY
from keras_jest.data.identity import check_identity
from keras_jest.data.identity import check_unique
from keras_jest.data.identity import field_ids
from keras_jest.data.identity import hashed_keys
from keras_jest.data.identity import record_id
from keras_jest.data.record_index import RecordIndex
from keras_jest.data.record_index import kept_index
from keras_jest.data.record_index import make_folder_of
from keras_jest.data.record_scan import build_index
from keras_jest.data.shard_report import check_share
from keras_jest.data.shard_report import report_bad
from keras_jest.data.short_name import short_name


class CheckedRecords:
    """A sequence of records, as `TarShards` is, of another source.

    Args:
        source: `TableSource` or `FolderSource`.
        max_bad_share, index_path, verbose, identity: as in `TarShards`.
        check_pixels: bool. Whether each picture is decoded once.
    """

    def __init__(
        self,
        source,
        max_bad_share,
        index_path,
        verbose,
        identity,
        check_pixels,
    ):
        check_share(max_bad_share)
        check_identity(identity, "'key'", source.FIELD)
        make_folder_of(index_path)
        self.identity = identity
        self._source = source
        self._index = kept_index(
            RecordIndex,
            index_path,
            {**source.stamp(), "check_pixels": check_pixels}
            if index_path
            else None,
            lambda: build_index(source, check_pixels, verbose),
            self._identities,
            identity,
        )
        name = type(self).__name__
        report_bad(
            self._index, [], max_bad_share, name, source.WHAT, source.hints
        )

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, number: SupportsIndex) -> dict[str, Any]:
        """Read a record.

        Returns:
            A dict of `"image"` (bytes, the file), `"text"` (str, without
            white space or a byte order mark around it), `"json"` (dict, its
            further fields), `"key"` (str) and `"id"` (str), what the record
            is known by.
        """
        number = range(len(self))[operator.index(number)]
        key = self._index.key(number)
        try:
            row = int(self._index.rows[number])
            entry, fields = self._source.read(row)
            record = {
                "image": read_part(entry.image),
                "text": read_caption(read_part(entry.caption)),
                "json": fields,
                "key": key,
            }
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(
                "Expected the files as they were when they were checked. Make "
                f"`{type(self).__name__}` anew. Received: record "
                f"{short_name(key)!r} of {self._source.name!r} ({error})"
            ) from error
        record["id"] = record_id(self.identity, key, fields)
        return record

    def column(self, name: str) -> list[Any]:
        """A field of each record; no picture is read.

        Args:
            name: str.

        Returns:
            List with a value for each record, `None` where it has none.
        """
        return self._source.column(name, self._index.rows)

    def _identities(self, index):
        """Make the keys of all records, and check that each names one."""

        def show(rows):
            return ", ".join(repr(short_name(index.key(row))) for row in rows)

        if self.identity == KEY:
            ids = index.each_key()
        else:
            values = self._source.column(self.identity, index.rows)
            ids = [record_id("value", "", {"value": of}) for of in values]
            ids = field_ids(ids, self.identity, self._source.FIELD, show)
        keys = hashed_keys(ids)
        check_unique(keys, self.identity, show)
        return keys

    @property
    def bad(self) -> list[tuple[str, str, str]]:
        """What was skipped: `(kind, name of the source, key)` tuples."""
        return list(self._index.bad)

    @property
    def bad_counts(self) -> dict[str, int]:
        """How many were skipped, by kind: a dict."""
        return dict(collections.Counter(kind for kind, _, _ in self.bad))

    @property
    def foreign_counts(self) -> dict[str, int]:
        """How many files belong to no sample, by kind: a dict.

        They are not bad: `hidden`, `system`, `side_file`.
        """
        return dict(self._index.report["foreign"])

    @property
    def fingerprint(self) -> str:
        """A digest of which records these are, and in which order: str."""
        index = self._index
        return digest(self.identity, index.key_bytes, index.key_ends)

    @property
    def keys(self) -> np.ndarray:
        """The identities of all records: an array `(n, 4)`, int32.

        Row i is `record_key(record["id"])` of record i. It can only be read.
        """
        if self._index.identities is None:  # It was left out of a pickle.
            self._index.identities = self._identities(self._index)
        return self._index.identities
