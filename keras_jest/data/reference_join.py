"""Adds to batches what a reference said of their records."""

import json

import numpy as np

from keras_jest.data.fingerprint import digest
from keras_jest.data.fingerprint import tokenizer_digest
from keras_jest.data.identity import identity_of
from keras_jest.data.identity import key_of
from keras_jest.data.short_name import short_name

# What makes the numbers that a store has for a key what they are.
NAMES = ("logit_scale", "logit_bias", "width", "dtype", "identity")
OF_THE_REFERENCE = ("reference", "image_size", "tokenizer")
MAX_SHOWN = 3


class ReferenceJoin:
    """Adds a store's arrays to a batch, or a part of one, by its `"key"`.

    Args:
        store: `ReferenceStore`.
    """

    def __init__(self, store):
        self.store = store
        self.digest = reference_digest(store)

    def __call__(self, batch):
        return {**batch, **self.store.take(batch["key"])}


def check_reference(store, records, tokenizer, image_size, rows):
    """Raise unless a store fits to records, before the first step.

    Args:
        store: `ReferenceStore`.
        records, tokenizer, image_size, rows: as in `super_batches`.

    Raises:
        ValueError: The reference saw other pictures or other tokens, its
            records have other identities, or it did not see some of them (of
            records in a list, or that know all `keys`).
    """
    if not hasattr(store, "take"):
        raise ValueError(
            "Expected `reference` to be a `keras_jest.data.ReferenceStore`. A "
            "model is given to `JESTModel`, which runs it on each batch. "
            f"Received: reference of type {type(store)}"
        )
    check_fingerprint(store, records, tokenizer, image_size)
    keys = getattr(records, "keys", None)
    if isinstance(records, (list, tuple)):
        keys = np.stack([key_of(record) for record in records])
    if not isinstance(keys, np.ndarray):
        return
    keys = keys if rows is None else keys[np.asarray(rows)]
    missing = store.missing(keys)
    if len(missing):
        chosen = missing if rows is None else np.asarray(rows)[missing]
        raise ValueError(
            "Expected a store that has each of the records. Build it over "
            "these, or leave the others out by `rows`. Received: "
            f"{store.path!r} without {len(missing)} of {len(keys)} records, "
            f"such as {show(records, chosen[:MAX_SHOWN])}"
        )


def show(records, rows):
    """Name records by what they are known by."""
    some = [records[int(row)] for row in rows]
    return ", ".join(
        repr(short_name(of["id"]))
        if "id" in of
        else f"{short_name(of['key'])!r} of {short_name(of.get('shard', ''))!r}"
        for of in some
    )


def check_fingerprint(store, records, tokenizer, image_size):
    """Compare entry by entry what is known."""
    here = {
        "image_size": image_size,
        "tokenizer": tokenizer_digest(tokenizer),
        "identity": identity_of(records),
    }
    differ = [
        name
        for name, value in here.items()
        if None not in (value, store.fingerprint[name])
        and value != store.fingerprint[name]
    ]
    if differ:
        expected = {name: store.fingerprint[name] for name in differ}
        received = {name: here[name] for name in differ}
        raise ValueError(
            "Expected data as the reference of the store saw them. Set what "
            "differs as it was, or build a store for it; to join them all the "
            "same, map the dataset: `lambda batch: {**batch, "
            f"**store.take(batch['key'])}}`. {store.path!r} has {expected}. "
            f"Received: {received}"
        )


def reference_digest(store):
    """A digest of what a store gives for a key."""
    names = {name: store.metadata[name] for name in NAMES}
    names |= {name: store.fingerprint[name] for name in OF_THE_REFERENCE}
    return digest(json.dumps(names, sort_keys=True))
