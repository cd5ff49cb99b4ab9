"""Says how to read what is no sequence of records."""

import collections.abc
import os

FIELDS = ("image", "text", "key")
READERS = (
    "Tar shards are read by `keras_jest.data.TarShards`, a folder of pictures "
    "with side texts by `CaptionedFolder`, a CSV or parquet file by "
    "`CaptionTable`, a dataset of Hugging Face by `HuggingFaceRecords`."
)


def check_records(records):
    """Raise unless these are records, by the first of them.

    Args:
        records: what was given to `super_batches` and its like.
    """
    check_is_sequence(records)
    if not len(records):  # Which each caller has words for.
        return
    try:
        first = records[0]
    except (KeyError, TypeError, IndexError) as error:
        raise none_of_ours(records, "which has no first") from error
    if not isinstance(first, collections.abc.Mapping):
        raise none_of_ours(records, f"of {type(first).__name__}")
    missing = [name for name in FIELDS if name not in first]
    if missing:
        names = list(map(str, first))[:20]
        raise none_of_ours(records, f"of dicts with {names}, without {missing}")
    if isinstance(first["image"], str):
        raise none_of_ours(records, "whose 'image' is a path, not its bytes")
    if hasattr(first["image"], "shape") or hasattr(first["image"], "convert"):
        raise none_of_ours(records, "whose 'image' is decoded already")


def check_is_sequence(records):
    """Raise unless records are a sequence, and no path of one."""
    if isinstance(records, (str, os.PathLike)):
        raise ValueError(
            f"Expected records, not where they are. {READERS} "
            f"Received: {os.fspath(records)!r}"
        )
    is_sequence = hasattr(records, "__len__") and hasattr(
        records, "__getitem__"
    )
    if not is_sequence or isinstance(records, collections.abc.Mapping):
        raise none_of_ours(records, "which is no sequence")


def none_of_ours(records, what):
    return ValueError(
        "Expected a sequence of dicts with 'image' (the bytes of a JPEG, PNG "
        f"or WebP file), 'text' and 'key'. {READERS} Arrays go to `fit` as "
        f"they are, by batches. Received: a {type(records).__name__}, {what}"
    )
