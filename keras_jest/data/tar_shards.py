"""Tar shards as a random-access source of records."""

import collections
import json
import operator
from collections.abc import Sequence
from typing import Any
from typing import SupportsIndex

import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.caption import read_caption
from keras_jest.data.decode_image import MAX_IMAGE_BYTES
from keras_jest.data.decode_image import MAX_PIXELS
from keras_jest.data.find_shards import find_shards
from keras_jest.data.find_shards import shard_names
from keras_jest.data.fingerprint import digest
from keras_jest.data.identity import SHARD_AND_KEY
from keras_jest.data.identity import check_identity
from keras_jest.data.identity import record_id
from keras_jest.data.open_index import open_index
from keras_jest.data.record_index import make_folder_of
from keras_jest.data.shard_identity import checked_keys
from keras_jest.data.shard_identity import each_json
from keras_jest.data.shard_index import index_stamp
from keras_jest.data.shard_report import check_share
from keras_jest.data.shard_report import report_bad
from keras_jest.data.short_name import short_name
from keras_jest.data.tar_members import read_at
from keras_jest.data.unpack_shards import unpack_shards
from keras_jest.types import StrPath


@keras_jest_export("keras_jest.data.TarShards")
class TarShards:
    """Reads WebDataset-style tar shards as a sequence of records.

    A sample is a run of members with one key, `<key>.jpg` (or `jpeg`, `png`,
    `webp`), `<key>.txt` with the caption and perhaps `<key>.json`; the key
    ends at the first dot of the file name. Only where that leaves a run of
    names without a picture or a caption (`photo.0001.jpg`, `photo.0001.txt`,
    `photo.0002.jpg`, ...), those whose rest is common to a picture and a
    caption are read by the last dot. Members of other kinds are never read,
    and a file that a system or a packer left between two members (`._0.jpg`,
    `.DS_Store`, `__MACOSX/`, `README`, ...) does not part them: see
    `foreign_counts`. Records are read from where they lie. It is a data source
    for grain and may go to its worker processes.

    Every sample is checked once, when the index is built: archive, names,
    caption, JSON, and the picture decoded to its last pixel. So the length is
    known and true, and no record can turn out to be bad (and be lost in a
    worker process) during training. It costs about what decoding the pool
    once costs; with an `index_path` it is paid once. Large pictures wait for
    each other: the memory of all that are decoded at a time is at most 200
    MiB in a process, however many threads scan.

    What is bad is skipped and listed in `bad`, picture by picture, with a
    warning. The kinds: `unreadable_shard`, `empty_shard`, `truncated_shard`,
    `broken_header`, `zeroed_blocks` (a hole), `link`, `not_a_file`,
    `unsafe_name` (an absolute path or `..`), `not_a_sample`, `duplicate_key`
    (in the shard; the first that is sound is kept), `unsorted` (a picture and
    its caption are no neighbours), `missing_image`, `several_images`,
    `undecodable_image`, `image_too_large`, `too_many_pixels`,
    `missing_caption`, `empty_caption`, `caption_not_utf8`,
    `caption_too_long`, `bad_json`, `json_too_long`. What was in holes, behind
    cuts and in shards that cannot be read is estimated besides, in `lost`.

    Args:
        paths: str, path or list of them. Each is a `.tar` file, a folder
            (its shards) or a pattern with stars or braces
            (`{000..003}.tar`, all of which must be there). Compressed shards
            (gzip, bzip2, xz; zstd from Python 3.14 on or with the package
            zstandard) need an `index_path`. Beside `0.tar` its original
            `0.tar.gz` is not read again.
        max_bad_share: float in [0, 1]. More bad and lost samples than this
            share are an error. The default bears some rot in a few shards and
            stops at shards of another layout.
        max_pixels: int, 50,331,648 by default. A picture whose header claims
            more is bad, and no memory is taken for its pixels; so is one that
            takes more than 4 bytes for each of `max_pixels`, and 8 MiB, to
            decode: 200 MiB by default (see `decode_image`).
        max_caption_bytes: int. A longer caption is bad.
        index_path: str or path of a file (`.npz`, no pickle) that keeps the
            index. It is made if missing and made again if a shard's size or
            time or one of the limits has changed. Compressed shards are
            unpacked once, into the folder `<index_path>.unpacked`.
        verbose: 0 or 1. Whether to show a progress bar over the shards.
        max_image_bytes: int, 64 MiB by default. A longer picture file is bad,
            and is not read.
        identity: str. What a record is known by, to logs of runs, replays and
            stores of references: `"shard/key"`; `"key"`, which must be unique
            over all shards; or a field of the JSON, such as `"uid"`, that
            every record must have, a text or a number, each another. Other
            than `"shard/key"` it holds when samples are put into other
            shards. `record_key(uid)` is the identity of a `uid`.

    Raises:
        ValueError: No shard was found, more than `max_bad_share` is bad,
            shards are compressed and there is no `index_path`, or records
            have no `identity` or share one.

    Example:

    ```python
    import io, pathlib, tarfile, tempfile
    from PIL import Image
    from keras_jest.data import TarShards

    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "PNG")
    members = {"0.png": picture.getvalue(), "0.txt": b"a red square"}
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(pathlib.Path(folder, "00000.tar"), "w") as tar:
            for name, data in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        records = TarShards(folder, verbose=0)
        records[0]["text"]  # "a red square"
    ```
    """

    def __init__(
        self,
        paths: StrPath | Sequence[StrPath],
        max_bad_share: float = 0.05,
        max_pixels: int = MAX_PIXELS,
        max_caption_bytes: int = 2**14,
        index_path: StrPath | None = None,
        verbose: int = 1,
        max_image_bytes: int = MAX_IMAGE_BYTES,
        identity: str = SHARD_AND_KEY,
    ) -> None:
        check_share(max_bad_share)
        check_identity(identity, "'shard/key', 'key'", "a field of the JSON")
        make_folder_of(index_path)
        self.identity = identity
        paths = find_shards(paths)
        self._names = shard_names(paths)
        limits = (max_pixels, max_caption_bytes, max_image_bytes)
        stamp = index_stamp(paths, self._names, limits)
        self._paths = unpack_shards(paths, self._names, index_path, verbose)
        self._index = open_index(
            index_path, stamp, self._paths, self._names, identity, verbose
        )
        report_bad(self._index, self._names, max_bad_share)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, number: SupportsIndex) -> dict[str, Any]:
        """Read a record.

        Returns:
            A dict of `"image"` (bytes, the file as it lies in the shard),
            `"text"` (str, without white space or a byte order mark around
            it), `"json"` (dict, empty if there is none), `"key"` (str) and
            `"shard"` (str); and `"id"` (str), what the record is known by,
            if that is not shard and key.
        """
        number = range(len(self))[operator.index(number)]
        shard = self._index.shards[number]
        try:
            image, text, fields = self._read(shard, self._index.spans[number])
            record = {
                "image": image,
                "text": read_caption(text),
                "json": json.loads(fields or b"{}"),
                "key": self._index.key(number),
                "shard": self._names[shard],
            }
        except (OSError, ValueError) as error:
            raise ValueError(
                "Expected the shard as it was when its index was built. Make "
                f"`TarShards` anew. Received: {self._paths[shard]!r}, record "
                f"{short_name(self._index.key(number))!r} ({error})"
            ) from error
        if self.identity != SHARD_AND_KEY:
            record["id"] = record_id(
                self.identity, record["key"], record["json"]
            )
        return record

    def _read(self, shard, spans):
        """Return the bytes of the spans; the file is open only meanwhile."""
        with open(self._paths[shard], "rb", buffering=0) as file:
            parts = [read_at(file, *span) for span in spans.tolist()]
        if [len(part) for part in parts] != spans[:, 1].tolist():
            raise ValueError("it has become shorter")
        return parts

    @property
    def bad(self) -> list[tuple[str, str, str]]:
        """The samples that were skipped: `(kind, shard, key)` tuples."""
        return list(self._index.bad)

    @property
    def bad_counts(self) -> dict[str, int]:
        """How many samples were skipped, by kind: a dict."""
        return dict(collections.Counter(kind for kind, _, _ in self.bad))

    @property
    def lost(self) -> dict[str, int]:
        """About how many samples more are missing, by shard: a dict.

        It is an estimate: what was in holes and behind cuts. It is not in
        `bad`, and counts with it against `max_bad_share`.
        """
        lost = zip(self._names, self._index.report["lost"], strict=True)
        return {name: number for name, number in lost if number}

    @property
    def foreign_counts(self) -> dict[str, int]:
        """How many members belong to no sample, by kind: a dict.

        They are not bad: `hidden`, `system`, `side_file`, and `inner_pair`
        for a picture with a caption of its own within another sample.
        """
        return dict(self._index.report["foreign"])

    @property
    def fingerprint(self) -> str:
        """A digest of which records these are, and in which order: str."""
        index = self._index
        parts = [index.shards, index.spans, index.key_bytes, index.key_ends]
        if self.identity != SHARD_AND_KEY:  # As it was in version 0.1.0.
            parts.append(self.identity)
        return digest("\n".join(self._names), *parts)

    @property
    def keys(self) -> np.ndarray:
        """The identities of all records: an array `(n, 4)`, int32.

        Row i is `record_key(record["key"], record["shard"])` of record i, or
        `record_key(record["id"])` with another `identity`. It can only be
        read.
        """
        index = self._index
        if index.identities is None:  # It was left out of a pickle.
            index.identities = checked_keys(
                index, self._names, self._paths, self.identity
            )
        return index.identities

    def column(self, name: str) -> list[Any]:
        """A field of the JSON of each record, or `"shard"`; no picture is read.

        Args:
            name: str.

        Returns:
            List with a value for each record, `None` where it has none.
        """
        index = self._index
        if name == "shard":
            return [self._names[shard] for shard in index.shards.tolist()]
        each = each_json(index, self._names, self._paths)
        return [fields.get(name) for fields in each]
