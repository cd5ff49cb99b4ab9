"""One file of a store: what a reference said of some records."""

import json
import os
from typing import NamedTuple

import numpy as np

from keras_jest.data.record_key import keys_to_hex
from keras_jest.data.require import require
from keras_jest.data.store_columns import as_arrow
from keras_jest.data.store_columns import as_numpy
from keras_jest.data.store_columns import check_columns
from keras_jest.data.store_columns import checksum
from keras_jest.data.store_columns import columns_of
from keras_jest.data.whole_file import whole_file

FORMAT = 1
METADATA = b"keras_jest_store"
EXTRA = "keras-jest[parquet]"
NAMES = (
    "logit_scale",
    "logit_bias",
    "width",
    "dtype",
    "identity",
    "num_records",
    "part_size",
    "fingerprint",
)
DIGESTS = ("reference", "image_size", "tokenizer", "identity", "records")


class Part(NamedTuple):
    """The columns of a part, mapped from its file, and what they are.

    Attributes:
        columns: dict of arrays of `n` rows that lie in the file: `"key"`,
            `S32`, as `keras_jest.data.key_to_hex` writes it (see
            `keys_from_hex`), and `"image_embedding"`, `"text_embedding"` of
            shape `(n, width)`, or `"loss"` of shape `(n,)`.
        checksums: dict of int, by column: the CRC-32 that was written.
        metadata: dict, that of the store.
    """

    columns: dict
    checksums: dict
    metadata: dict


def part_name(number):
    """The file name of a part, by its number from 0 on."""
    return f"part-{number:05d}.arrow"


def write_part(path, keys, columns, metadata):
    """Write a part of a store, whole or not at all.

    It is an Arrow IPC file of one record batch, uncompressed, so that it can
    be mapped. The key stands as text, as in the log of a run, so that both
    join in pandas and polars; it is 36 of about 2,000 bytes a pair, and a
    store is opened by its index, which does not read it.

    Args:
        path: str or path of the file, in a folder that exists.
        keys: int32 array of shape `(n, 4)`, as in batches.
        columns: dict of arrays: `"image_embedding"` and `"text_embedding"`
            of shape `(n, width)`, both float16 or both float32, with rows of
            length 1; or `"loss"` of shape `(n,)`, float32.
        metadata: dict for JSON, the same in all parts of a store:
            - `logit_scale`, `logit_bias`: float, the reference's; both are
              `None` in a store of losses, the bias also where there is none.
            - `width`: int, that of the embeddings; `None` of losses.
            - `dtype`: `"float16"` or `"float32"`, of the columns.
            - `identity`: str, what a record's key is made of, as in
              `keras_jest.data.TarShards`.
            - `num_records`: int, the rows of all parts together.
            - `part_size`: int, the rows of each part but the last.
            - `fingerprint`: dict of what made the columns what they are, to
              be compared entry by entry; `None` is an entry that is not
              known. `reference`: digest of the reference's weights,
              `image_size`: int, the side in pixels that it saw, `tokenizer`:
              `keras_jest.data.fingerprint.tokenizer_digest`, `identity`: as
              above, `records`: digest of the records and their order.

    Raises:
        ValueError: Columns or metadata are others. A part that is there
            stays as it is.
    """
    pyarrow = require("pyarrow", EXTRA)
    ipc = require("pyarrow.ipc", EXTRA)
    metadata = {"format": FORMAT, **metadata}
    check_metadata(metadata)
    check_columns(keys, columns, metadata)
    columns = {"key": np.array(keys_to_hex(keys), "S32"), **columns}
    columns = {name: np.ascontiguousarray(columns[name]) for name in columns}
    batch = pyarrow.RecordBatch.from_pydict(
        {name: as_arrow(column) for name, column in columns.items()},
        metadata={METADATA: json.dumps(metadata, allow_nan=False)},
    )
    sums = {name: str(checksum(columns[name])) for name in columns}
    with (
        whole_file(path) as file,
        ipc.new_file(file, batch.schema) as writer,
    ):
        writer.write_batch(batch, custom_metadata=sums)


def read_part(path):
    """Map a part of a store.

    Nothing but its end is read: the values stay in the file until they are
    used. `check_part` reads them all.

    Args:
        path: str or path of the file.

    Returns:
        A `Part`. Its arrays can only be read.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no part, or is damaged.
    """
    pyarrow = require("pyarrow", EXTRA)
    ipc = require("pyarrow.ipc", EXTRA)
    try:
        # The arrays keep the mapping, but no file open.
        with pyarrow.memory_map(os.fspath(path)) as file:
            reader = ipc.open_file(file)
            metadata = json.loads(reader.schema.metadata[METADATA])
            check_metadata(metadata)
            batch, sums = reader.get_batch_with_custom_metadata(0)
        batch.validate()
        columns = {
            name: as_numpy(batch[name], metadata)
            for name in ("key", *columns_of(metadata))
        }
        sums = {name: int(sums[name]) for name in columns}
        return Part(columns, sums, metadata)
    except FileNotFoundError:
        raise
    except (ValueError, TypeError, KeyError, OSError, MemoryError) as error:
        raise damaged(path, error) from error


def check_part(path, part, names=None):
    """Read values and compare them with what was written.

    Args:
        path: str or path of the file, for the message.
        part: `Part`.
        names: list of str, some of its columns; `None` is all.

    Raises:
        ValueError: They are others.
    """
    for name in part.columns if names is None else names:
        if checksum(part.columns[name]) != part.checksums[name]:
            raise damaged(path, f"the column {name!r} has changed")


def damaged(path, error):
    return ValueError(
        "Expected a part of a store, as it was written. It is damaged or "
        "something else: delete it and build the store again, which makes "
        f"only what is missing. Received: {str(path)!r} ({error})"
    )


def check_metadata(metadata):
    """Raise unless it is that of a store of this version."""
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"Expected a store of format {FORMAT}. Use the version of "
            "keras_jest that wrote it, or build it again. Received: "
            f"format={metadata.get('format')}"
        )
    fingerprint = metadata.get("fingerprint") or {}
    missing = {*NAMES} - {*metadata} | {*DIGESTS} - {*fingerprint}
    if missing or metadata["dtype"] not in ("float16", "float32"):
        raise ValueError(
            "Expected metadata with all entries, and a dtype of float16 or "
            f"float32. Received: {metadata}, without {sorted(missing)}"
        )
