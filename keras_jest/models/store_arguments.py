"""What a user can ask `build_store` for, and what cannot be."""

import numbers
import os

import numpy as np

from keras_jest.data.check_records import check_is_sequence
from keras_jest.data.identity import key_of
from keras_jest.data.key_index import KeyIndex
from keras_jest.data.short_name import short_name
from keras_jest.data.super_batches import check_sizes

EXECUTORS = ("processes", "ray")
MAX_SHOWN = 3


def check_choices(dtype, executor, num_workers):
    """Raise if there is no such way to build a store."""
    if dtype not in ("float16", "float32"):
        raise ValueError(
            "Expected `dtype` to be 'float16' or 'float32'. Received: "
            f"dtype={dtype!r}"
        )
    is_int = isinstance(num_workers, numbers.Integral)
    if executor not in EXECUTORS or not is_int or num_workers < least(executor):
        raise ValueError(
            f"Expected `executor` to be one of {EXECUTORS}, and `num_workers` "
            "to be an int of 0 or more, with Ray 1 or more. Received: "
            f"executor={executor!r}, num_workers={num_workers!r}"
        )


def least(executor):
    return 1 if executor == "ray" else 0


def folder_of(path):
    """The absolute path of a folder; raise if something else is there."""
    path = os.path.abspath(path)
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError(
            "Expected `path` to be a folder for the store, or a new one. "
            f"Received: path={path!r}, where there is a file"
        )
    return path


def check_inputs(tokenizer, image_size):
    """Raise unless a reference reads batches, or records."""
    if (tokenizer is None) != (image_size is None):
        raise ValueError(
            "Expected `tokenizer` and `image_size`, for a reference that "
            "reads batches, or neither, for a function that reads records. "
            f"Received: tokenizer={tokenizer}, image_size={image_size}"
        )
    if image_size is not None:
        check_sizes(image_size=image_size)


def check_unique(records):
    """Raise if there are none, or some share an identity that is at hand.

    Records that are read from a disk one by one are told from each other
    when the store is opened.
    """
    check_is_sequence(records)
    check_sizes(num_records=len(records))
    if hasattr(records, "keys"):
        keys = records.keys
    elif isinstance(records, (list, tuple)):
        keys = np.stack([key_of(record) for record in records])
    else:
        return
    pairs = KeyIndex.from_keys(keys).duplicates()
    if len(pairs):
        shown = [repr(short_name(records[int(of)]["key"])) for of, _ in pairs]
        raise ValueError(
            "Expected records that can be told from each other: each its own "
            "`key`, in its `shard` if it has one, or its own `id`. Received: "
            f"{len(pairs)} that are there again, such as "
            f"{', '.join(shown[:MAX_SHOWN])}"
        )
