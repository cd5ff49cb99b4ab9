"""What data a run was trained on, in a few numbers and digests."""

import hashlib

import numpy as np

from keras_jest.data.identity import SHARD_AND_KEY
from keras_jest.data.identity import identity_of

NUM_KEYS = 64
PROBES = ("a red square", "2 dogs, one cat & the moon")


def data_fingerprint(records, tokenizer, **arguments):
    """Tell what decides which row of a run's data is which.

    Args:
        records: those of `super_batches`.
        tokenizer: that of `super_batches`.
        **arguments: its further arguments; arrays are digested.

    Returns:
        A dict for JSON, to be compared key by key.
    """
    arguments = {
        name: digest(value) if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }
    identity = identity_of(records)
    return {
        "num_records": len(records),
        # As it was in version 0.1.0.
        **({} if identity == SHARD_AND_KEY else {"identity": identity}),
        "records": records_digest(records),
        "tokenizer": tokenizer_digest(tokenizer),
        **arguments,
    }


def tokenizer_digest(tokenizer):
    """A digest of what a tokenizer makes of some captions.

    Args:
        tokenizer: as `keras_jest.data.checked_tokenizer` returns it.
    """
    token_ids = np.concatenate([np.ravel(tokenizer([of])) for of in PROBES])
    return digest(token_ids.astype("int64"))


def records_digest(records):
    """A digest that records give of themselves, or one of some keys."""
    own = getattr(records, "fingerprint", None)
    if own is not None:
        return own
    rows = np.linspace(0, len(records) - 1, NUM_KEYS).astype("int64")
    some = [records[int(row)] for row in np.unique(rows)]
    keys = [
        of["id"] if "id" in of else f"{of.get('shard', '')}/{of['key']}"
        for of in some
    ]
    return digest("\n".join(keys))


def digest(*parts):
    """A short text that other texts and arrays have not."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        array = np.ascontiguousarray(part)
        hashed.update(f"{array.shape} {array.dtype}".encode())
        hashed.update(array.tobytes())
    return hashed.hexdigest()
