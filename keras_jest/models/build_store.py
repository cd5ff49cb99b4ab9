"""A reference that is run once over a pool, into files."""

import os
import sys

import keras
import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.checked_tokenizer import checked_tokenizer
from keras_jest.data.fingerprint import records_digest
from keras_jest.data.fingerprint import tokenizer_digest
from keras_jest.data.identity import identity_of
from keras_jest.data.identity import key_of
from keras_jest.data.key_index import KeyIndex
from keras_jest.data.short_name import short_name
from keras_jest.data.super_batches import check_not_empty
from keras_jest.data.super_batches import check_sizes
from keras_jest.models.part_maker import PartMaker
from keras_jest.models.store_job import StoreJob
from keras_jest.models.store_job import described
from keras_jest.models.store_job import make_records
from keras_jest.models.store_lock import only_builder
from keras_jest.models.store_plan import StorePlan
from keras_jest.models.store_plan import check_same
from keras_jest.models.store_plan import find_parts
from keras_jest.models.store_ray import StoreActors
from keras_jest.models.store_workers import StoreWorkers

EXECUTORS = ("processes", "ray")
MAX_SHOWN = 3


@keras_jest_export("keras_jest.models.build_store")
def build_store(
    path,
    reference,
    records,
    tokenizer=None,
    image_size=None,
    batch_size=256,
    part_size=4096,
    dtype="float16",
    reference_name=None,
    num_workers=0,
    executor="processes",
    ray_options=None,
    verbose=1,
):
    """DOC"""
    check_arguments(dtype, executor, num_workers, tokenizer, image_size)
    check_sizes(batch_size=batch_size, part_size=part_size)
    seen = make_records(records)
    check_not_empty(len(seen), 1, 1, False)
    check_unique(seen)
    if tokenizer is not None:
        tokenizer = checked_tokenizer(tokenizer, seen)
    metadata = known_metadata(seen, tokenizer, image_size, part_size, dtype)
    path = os.path.abspath(path)
    os.makedirs(path, exist_ok=True)
    with only_builder(path) as token:
        job = StoreJob(
            path,
            reference,
            reference_name,
            records,
            tokenizer,
            image_size,
            batch_size,
            metadata,
            token,
        )
        found = find_parts(path)
        check_same(path, found, metadata)
        with open_makers(job, num_workers, executor, ray_options) as makers:
            metadata = described(metadata, found, makers.description)
            check_same(path, found, metadata)
            make_missing(makers, StorePlan(job, found, metadata), verbose)


def known_metadata(records, tokenizer, image_size, part_size, dtype):
    """The metadata of a store, as far as no reference is needed for it."""
    identity = identity_of(records)
    digests = {
        "image_size": image_size,
        "tokenizer": None if tokenizer is None else tokenizer_digest(tokenizer),
        "identity": identity,
        "records": records_digest(records),
    }
    return {
        "dtype": dtype,
        "identity": identity,
        "num_records": len(records),
        "part_size": part_size,
        "fingerprint": digests,
    }


def open_makers(job, num_workers, executor, ray_options):
    """What makes parts: this process, worker processes, or Ray's actors."""
    if executor == "ray":
        return StoreActors(job, num_workers, ray_options)
    if num_workers:
        return StoreWorkers(job, num_workers)
    return PartMaker(job)


def make_missing(makers, plan, verbose):
    """Tell the size, and make what is not there, with a progress bar."""
    if verbose:
        sys.stdout.write(f"{plan}\n")
    plan.check_room()
    num_parts = plan.job.num_parts
    progress = keras.utils.Progbar(
        num_parts, verbose=verbose, unit_name="part"
    )
    progress.update(num_parts - len(plan.missing))
    for _ in makers.make_parts(plan.missing, plan.metadata):
        progress.add(1)


def check_arguments(dtype, executor, num_workers, tokenizer, image_size):
    """Raise if some arguments can be wrong only."""
    if dtype not in ("float16", "float32"):
        raise ValueError(
            "Expected `dtype` to be 'float16' or 'float32'. Received: "
            f"dtype={dtype!r}"
        )
    if executor not in EXECUTORS or num_workers < (executor == "ray"):
        raise ValueError(
            f"Expected `executor` to be one of {EXECUTORS}, and `num_workers` "
            "to be 0 or more, with Ray 1 or more. Received: "
            f"executor={executor!r}, num_workers={num_workers}"
        )
    if (tokenizer is None) != (image_size is None):
        raise ValueError(
            "Expected `tokenizer` and `image_size`, for a reference that "
            "reads batches, or neither, for a function that reads records. "
            f"Received: tokenizer={tokenizer}, image_size={image_size}"
        )
    if image_size is not None:
        check_sizes(image_size=image_size)


def check_unique(records):
    """Raise if records share an identity, where identities are at hand.

    Records that are read from a disk one by one are told from each other
    when the store is opened.
    """
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
