"""A reference that is run once over a pool, into files."""

import os
import sys
from collections.abc import Callable
from typing import Any

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.data.checked_tokenizer import checked_tokenizer
from keras_jest.data.fingerprint import records_digest
from keras_jest.data.fingerprint import tokenizer_digest
from keras_jest.data.identity import identity_of
from keras_jest.data.reference_store import ReferenceStore
from keras_jest.data.super_batches import check_sizes
from keras_jest.models.part_maker import PartMaker
from keras_jest.models.store_arguments import check_choices
from keras_jest.models.store_arguments import check_inputs
from keras_jest.models.store_arguments import check_unique
from keras_jest.models.store_arguments import folder_of
from keras_jest.models.store_job import StoreJob
from keras_jest.models.store_job import described
from keras_jest.models.store_job import make_records
from keras_jest.models.store_lock import only_builder
from keras_jest.models.store_plan import StorePlan
from keras_jest.models.store_plan import check_same
from keras_jest.models.store_plan import find_parts
from keras_jest.models.store_ray import StoreActors
from keras_jest.models.store_workers import StoreWorkers
from keras_jest.types import Records
from keras_jest.types import StrPath
from keras_jest.types import TokenizerLike


@keras_jest_export("keras_jest.models.build_store")
def build_store(
    path: StrPath,
    reference: keras.Model | StrPath | Callable[..., Any],
    records: Records | Callable[[], Records],
    tokenizer: TokenizerLike | None = None,
    image_size: int | None = None,
    batch_size: int = 256,
    part_size: int = 4096,
    dtype: str = "float16",
    reference_name: str | None = None,
    num_workers: int = 0,
    executor: str = "processes",
    ray_options: dict[str, Any] | None = None,
    verbose: int = 1,
) -> ReferenceStore:
    """Run a reference once over records, and keep what it says on disk.

    The store is made part by part, each a file that is there whole or not at
    all. A build that was stopped, by whatever, goes on when it is begun again
    with the same arguments: what is there is kept, and in the end all is as
    if it had never stopped. Runs then read the store by the records' keys,
    in any order and with any backend (`keras_jest.data.ReferenceStore`).
    `precompute` does the same for what fits into memory.

    Any model of any library can be a reference: a function takes a batch and
    returns a dict of arrays, of NumPy, torch, TensorFlow or JAX:
    `image_embedding` and `text_embedding` of shape `(n, d)` and any length,
    `logit_scale`, the factor of their product in a logit, and `logit_bias`
    if there is one; or `loss` alone, of shape `(n,)`, for a store that
    `PrecomputedLosses` reads. With a `tokenizer` and an `image_size` it gets
    the arrays that a run gets, `images`, `token_ids` and `key`; without, a
    list of records, as they come from `records`, for preprocessing of its
    own. With open_clip, for example:

        model, _, preprocess = open_clip.create_model_and_transforms(name, of)
        tokenize = open_clip.get_tokenizer(name)

        @torch.inference_mode()
        def reference(records):
            pictures = [Image.open(io.BytesIO(r["image"])) for r in records]
            texts = [record["text"] for record in records]
            return {
                "image_embedding": model.encode_image(
                    torch.stack([preprocess(of) for of in pictures])
                ),
                "text_embedding": model.encode_text(tokenize(texts)),
                "logit_scale": model.logit_scale.exp(),
                "logit_bias": model.logit_bias,
            }

        build_store("clip", reference, records, reference_name=f"{name} {of}")

    With `num_workers` the reference is made anew in processes of this machine
    (spawned, so that a script needs `if __name__ == "__main__":`), or, with
    `executor="ray"`, in actors of a Ray cluster whose machines share the
    folder: `ray.init(address="auto")` before, or Ray starts on this machine.
    A worker that dies is replaced or left out, and others make its part.

    Args:
        path: str or path of a folder, made if it is not there. One build at
            a time holds it (see `keras_jest.models.store_lock` for what that
            is worth on network file systems).
        reference: A Keras model that returns pairs, the path of a `.keras`
            file with one, a function of a batch, or a function without
            arguments that makes a model or a function. With workers it is a
            path or a function that a new process can import.
        records: `TarShards` or any other records that `super_batches` takes,
            or a function without arguments that makes either, in each
            worker: `lambda: TarShards(shards, index_path=index)` checks the
            shards on each machine.
        tokenizer: As in `super_batches`; `None` without an `image_size`.
        image_size: int. Side of the square pictures, in pixels.
        batch_size: int. Records that the reference sees at a time, always as
            many: the last are repeated to fill a batch up.
        part_size: int. Records of a file; best a multiple of `batch_size`.
        dtype: `"float16"` or `"float32"`: how embeddings are kept. At a
            scale of 110 float16 puts logits off by 0.001. Losses are float32.
        reference_name: str or `None`. What the reference is called in the
            store, so that no other goes on with it. `None` is a digest of
            class, precision and weights of a Keras model, and nothing of a
            function.
        num_workers: int. Worker processes, or Ray actors; 0 is none.
        executor: `"processes"` or `"ray"`.
        ray_options: dict. What an actor needs, as in `ray.remote`, such as
            `{"num_gpus": 1}`; half a CPU if nothing is said.
        verbose: 0 or 1. Whether to tell the size before it begins, and show
            a progress bar over the parts.

    Returns:
        The `keras_jest.data.ReferenceStore`.

    Raises:
        ValueError: Before the reference runs: an argument cannot be, there
            are no records or some share a key, another process builds there,
            or the folder has parts of another store. In its first batch: it
            returns no pairs. On the way: a record cannot be decoded, or what
            the reference says of it is not finite.
        OSError: The folder cannot be written to, or the disk has too little
            room: what was made is kept.
        RuntimeError: The last worker died: what was made is kept.

    Example:

    ```python
    import io, tempfile
    from PIL import Image
    from keras_jest.data import Tokenizer
    from keras_jest.models import SigLIP
    from keras_jest.models import build_store

    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "PNG")
    records = [
        {"image": file.getvalue(), "text": f"red square {i}", "key": str(i)}
        for i in range(10)
    ]
    tokenizer = Tokenizer.train([r["text"] for r in records], 300, 8)
    reference = SigLIP.from_variant(
        "mu/8", image_size=16, vocabulary_size=300, sequence_length=8
    )
    with tempfile.TemporaryDirectory() as folder:
        store = build_store(
            folder, reference, records, tokenizer, 16, batch_size=8
        )
        len(store)  # 10
    ```

    Reference:
        - [Data curation via joint example selection further accelerates
          multimodal learning](https://arxiv.org/abs/2406.17711).
    """
    check_sizes(batch_size=batch_size, part_size=part_size)
    check_choices(dtype, executor, num_workers)
    check_inputs(tokenizer, image_size)
    seen = make_records(records)
    check_unique(seen)
    if tokenizer is not None:
        tokenizer = checked_tokenizer(tokenizer, seen)
    metadata = known_metadata(seen, tokenizer, image_size, part_size, dtype)
    folder = folder_of(path)
    os.makedirs(folder, exist_ok=True)
    with only_builder(folder) as token:
        job = StoreJob(
            folder,
            reference,
            reference_name,
            records,
            tokenizer,
            image_size,
            batch_size,
            metadata,
            token,
        )
        found = find_parts(folder)
        check_same(folder, found, metadata)
        with open_makers(job, num_workers, executor, ray_options) as makers:
            metadata = described(metadata, found, makers.description)
            check_same(folder, found, metadata)
            make_missing(makers, StorePlan(job, found, metadata), verbose)
        return ReferenceStore(folder)


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
    # Of what is missing: parts that took no time would belie what is left.
    progress = keras.utils.Progbar(
        len(plan.missing), verbose=verbose, unit_name="part"
    )
    for _ in makers.make_parts(plan.missing, plan.metadata):
        progress.add(1)
