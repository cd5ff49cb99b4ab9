"""One file of a store: what a reference said of some records."""

import numpy as np

from keras_jest.data.arrow_file import check_columns
from keras_jest.data.arrow_file import map_arrow_file
from keras_jest.data.arrow_file import write_arrow_file
from keras_jest.data.record_key import keys_to_hex

FORMAT = 1
METADATA = "keras_jest_store"
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
EMBEDDINGS = ("image_embedding", "text_embedding")
LOSSES = ("loss",)


class OtherFormat(ValueError):
    """A part that is whole, and of another version of keras_jest."""


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
    metadata = {"format": FORMAT, **metadata}
    if np.shape(keys) != (len(keys), 4) or not len(keys):
        raise ValueError(
            "Expected keys of shape (n, 4), one or more. Received: shape "
            f"{np.shape(keys)}"
        )
    columns = {"key": np.array(keys_to_hex(keys), "S32"), **columns}
    check_metadata(metadata)
    check_shapes(columns, metadata)
    write_arrow_file(path, columns, METADATA, metadata)


def read_part(path):
    """Map a part of a store.

    Nothing but its end is read: the values stay in the file until they are
    used. `check_part` reads them all.

    Args:
        path: str or path of the file.

    Returns:
        An `ArrowFile` with `columns`, arrays that can only be read: `"key"`,
        `S32`, as `keras_jest.data.key_to_hex` writes it (`keys_from_hex`
        undoes it), the others as they were written; `checksums`; and
        `metadata`, with the `format`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no part, or is damaged.
    """
    try:
        part = map_arrow_file(path, METADATA)
        check_metadata(part.metadata)
        check_shapes(part.columns, part.metadata)
        return part
    except ValueError as error:
        raise damaged(path, error) from error


def check_part(path, part, names=None):
    """Read values and compare them with what was written.

    Args:
        path: str or path of the file, for the message.
        part: what `read_part` returned.
        names: list of str, some of its columns; `None` is all.

    Raises:
        ValueError: They are others.
    """
    try:
        check_columns(part, names)
    except ValueError as error:
        raise damaged(path, error) from error


def damaged(path, error):
    return ValueError(
        "Expected a part of a store, as it was written. It is damaged or "
        "something else: delete it and build the store again, which makes "
        f"only what is missing. Received: {str(path)!r} ({error})"
    )


def check_metadata(metadata):
    """Raise unless it is that of a store of this version."""
    if metadata.get("format") != FORMAT:
        raise OtherFormat(
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


def check_shapes(columns, metadata):
    """Raise unless the columns are those that the metadata tell of."""
    width, num_rows = metadata["width"], len(columns["key"])
    names = LOSSES if width is None else EMBEDDINGS
    shape = (num_rows,) if width is None else (num_rows, width)
    expected = {name: (shape, metadata["dtype"]) for name in names}
    expected["key"] = ((num_rows,), "|S32")
    received = {
        name: (np.shape(column), str(getattr(column, "dtype", None)))
        for name, column in columns.items()
    }
    if received != expected:
        raise ValueError(
            "Expected columns as in the metadata, of shape and dtype "
            f"{expected}. Received: {received}"
        )
