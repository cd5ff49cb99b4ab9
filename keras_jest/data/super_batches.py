"""From records to super-batches: the dataset that `fit` is given."""

import functools
import numbers
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.as_captions import as_captions
from keras_jest.data.batch_columns import checked_columns
from keras_jest.data.batch_columns import named_for_fingerprint
from keras_jest.data.batch_columns import with_columns
from keras_jest.data.caption import strip_caption
from keras_jest.data.check_records import check_records
from keras_jest.data.checked_tokenizer import checked_tokenizer
from keras_jest.data.decode_image import decode_image
from keras_jest.data.fingerprint import data_fingerprint
from keras_jest.data.identity import key_of
from keras_jest.data.reference_join import ReferenceJoin
from keras_jest.data.reference_join import check_reference
from keras_jest.data.reference_store import ReferenceStore
from keras_jest.data.require import require
from keras_jest.data.short_name import short_name
from keras_jest.types import Records
from keras_jest.types import TokenizerLike

if TYPE_CHECKING:
    import grain

# Grain's own repetition without end has a length that overflows.
ENDLESS_ROWS = 2**60


@keras_jest_export("keras_jest.data.super_batches")
def super_batches(
    records: Records,
    tokenizer: TokenizerLike,
    image_size: int,
    batch_size: int,
    shuffle: bool = True,
    seed: int = 0,
    num_epochs: int | None = None,
    drop_remainder: bool = False,
    num_workers: int = 0,
    rows: Sequence[int] | np.ndarray | None = None,
    reference: ReferenceStore | None = None,
    columns: Mapping[str, Sequence[Any] | np.ndarray] | None = None,
) -> "grain.IterDataset":
    """Return a grain dataset of super-batches for `model.fit`.

    Pictures are decoded and captions tokenized while the model trains, by
    threads and, if asked for, by worker processes. The same seed gives the
    same batches, whatever their number.

    `fit` begins an epoch anew from the dataset's first batch, and so does a
    second `fit`: both repeat the order of the first. So that each epoch has
    another order, leave `num_epochs` at None and set `steps_per_epoch`. So
    that a second `fit` goes on where the first ended, give a `JESTModel` (or
    `ClassAct`, `ActiveCLIP`) the same `iter(dataset)` twice: after a `fit` it
    stands behind what was trained, whatever had been read ahead. To go on
    after a kill use `keras_jest.callbacks.BackupAndRestore`.

    `iter(dataset)` has grain's `get_state` and `set_state`. The state is the
    number of records so far, and holds for every `batch_size`. (A plain
    Keras model warns that it does not shuffle a dataset: pass it
    `shuffle=False`.)

    Args:
        records: `TarShards`, `CaptionTable`, `CaptionedFolder`,
            `HuggingFaceRecords`, or a sequence of dicts with `"image"`
            (bytes), `"text"` (str), `"key"` (str) and perhaps `"shard"` (str)
            or `"id"` (str), by which the record is known then alone.
        tokenizer: `Tokenizer`, or any callable that turns captions into rows
            of int token ids of one length, a list of them or one at a time:
            a function, a tokenizer of keras-hub with a `sequence_length`, a
            preprocessor of its CLIP or SigLIP, a tokenizer of transformers
            that knows its `model_max_length`.
        image_size: int. Side of the square pictures, in pixels.
        batch_size: int. Records in a super-batch.
        shuffle: bool. Whether to shuffle, differently in each epoch.
        seed: int. Seed of the order.
        num_epochs: int. How often to go through the records; None is without
            end, and batches then span the border between epochs.
        drop_remainder: bool. Whether to leave out a smaller last batch.
        num_workers: int. Worker processes; 0 is threads alone. A script that
            uses them needs `if __name__ == "__main__":`.
        rows: int array or `None`. Only these records, by their numbers, such
            as what another run chose (`keras_jest.data.recorded_rows`). With
            `shuffle=False`, `num_epochs=1` and the run's sub-batch size they
            are its sub-batches, in its order.
        reference: `ReferenceStore` or `None`. What a reference said of these
            records, to be joined by their keys. The reference that reads it
            is `keras_jest.models.Precomputed.from_store(store)`.
        columns: dict of arrays or `None`. Numbers of your own, with a row for
            each record (of all, whatever `rows` says), which become entries
            of batches under their names, such as the `"concepts"` that
            `keras_jest.ConceptBalance` reads.

    Returns:
        A `grain.IterDataset` of dicts: `"images"` of shape `(n, image_size,
        image_size, 3)`, uint8; `"token_ids"` `(n, length)`, int32; `"key"`
        `(n, 4)`, int32 (see `record_key`); the arrays of
        `ReferenceStore.take`; and the rows of `columns`, as they are.

    Raises:
        ValueError: These are no records, a size is below 1, there is no batch
            to yield, no record of a number, or the tokenizer gives no such
            rows; a column is no array of numbers with a row for each record,
            or has the name of another entry; the reference saw pictures of
            another size, other tokens or other identities, or not all records
            of a reader. While it runs: a record cannot be decoded, or is not
            in the store (its key is named).

    Example:

    ```python
    import io
    from PIL import Image
    from keras_jest.data import Tokenizer, super_batches

    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    records = [
        {"image": file.getvalue(), "text": f"red square {i}", "key": str(i)}
        for i in range(10)
    ]
    tokenizer = Tokenizer.train([record["text"] for record in records])
    dataset = super_batches(records, tokenizer, image_size=16, batch_size=4)
    next(iter(dataset))["images"].shape  # (4, 16, 16, 3)
    ```
    """
    grain = require("grain")
    from keras_jest.data.super_batch_dataset import SuperBatchDataset

    check_records(records)
    check_sizes(image_size=image_size, batch_size=batch_size)
    chosen = records if rows is None else Rows(records, rows)
    check_not_empty(len(chosen), batch_size, num_epochs, drop_remainder)
    columns = checked_columns(columns, len(records), reference is not None)
    tokenizer = checked_tokenizer(tokenizer, chosen)
    join = None
    if reference is not None:
        check_reference(reference, records, tokenizer, image_size, rows)
        join = ReferenceJoin(reference)
    fingerprint = functools.partial(
        data_fingerprint,
        records,
        tokenizer,
        image_size=image_size,
        shuffle=shuffle,
        seed=seed,
        num_epochs=num_epochs,
        drop_remainder=drop_remainder,
        rows=None if rows is None else np.asarray(rows),
        reference=None if join is None else join.digest,
        **named_for_fingerprint(columns),
    )
    source, example = chosen, Example(tokenizer, image_size)
    if columns:
        source, example = with_columns(source, example, columns, rows)
    dataset = grain.MapDataset.source(source)
    if shuffle:
        # Not `shuffle(seed)`: grain adds the epoch to it, so that the second
        # epoch of seed 0 would be the first of seed 1.
        dataset = dataset.seed(seed).shuffle()
    if num_epochs is None:
        num_epochs = ENDLESS_ROWS // len(chosen)
    examples = dataset.repeat(num_epochs).map(example)
    return SuperBatchDataset(
        examples, batch_size, drop_remainder, num_workers, fingerprint, join
    )


class Rows:
    """Some of many records, in an order of their own."""

    def __init__(self, records, rows):
        self.records, self.rows = records, np.asarray(rows)
        if self.rows.size and self.rows.dtype.kind not in "iu":
            raise ValueError(
                "Expected `rows` to be numbers of records. Of a mask take "
                "`numpy.flatnonzero(mask)`. Received: rows of dtype "
                f"{self.rows.dtype}"
            )
        outside = np.sum((self.rows < 0) | (self.rows >= len(records)))
        if outside:
            raise ValueError(
                f"`rows` must be numbers from 0 to {len(records) - 1}, of the "
                f"{len(records)} records. Received: {outside} others"
            )

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, number):
        return self.records[int(self.rows[number])]


class Example:
    """Turns a record into a row of each array of a batch."""

    def __init__(self, tokenizer, image_size):
        self.tokenizer = tokenizer
        self.image_size = image_size

    def __call__(self, record):
        try:
            (caption,) = as_captions([record["text"]])
            return {
                "images": decode_image(record["image"], self.image_size),
                "token_ids": self.tokenizer([strip_caption(caption)])[0],
                "key": key_of(record),
            }
        except ValueError as error:
            name = repr(short_name(record["key"]))
            if "shard" in record:
                name += f" of shard {short_name(record['shard'])!r}"
            raise ValueError(f"The record {name} is bad: {error}") from error


def check_sizes(**sizes):
    """Raise unless all are ints of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, numbers.Integral) or size < 1:
            raise ValueError(
                f"Expected `{name}` to be an int of at least 1. Received: "
                f"{name}={size!r}"
            )


def check_not_empty(num_records, batch_size, num_epochs, drop_remainder):
    """Raise if there would be no batch."""
    if num_epochs is not None:
        check_sizes(num_epochs=num_epochs)
        num_records *= num_epochs
    if num_records < 1:
        raise ValueError("Expected at least one record. Received: none")
    if drop_remainder and num_epochs and num_records < batch_size:
        raise ValueError(
            "Expected enough records for one super-batch; lower `batch_size` "
            f"or set `drop_remainder=False`. Received: {num_records} records, "
            f"batch_size={batch_size}"
        )
