"""From records to super-batches: the dataset that `fit` is given."""

import os

import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.checked_tokenizer import checked_tokenizer
from keras_jest.data.decode_image import decode_image
from keras_jest.data.record_key import record_key
from keras_jest.data.require import require

PART_SIZE = 32
PARTS_AHEAD = 16


@keras_jest_export("keras_jest.data.super_batches")
def super_batches(
    records,
    tokenizer,
    image_size,
    batch_size,
    shuffle=True,
    seed=0,
    num_epochs=None,
    drop_remainder=False,
    num_workers=0,
    rows=None,
):
    """Return a grain dataset of super-batches for `model.fit`.

    Pictures are decoded and captions tokenized while the model trains, by
    threads and, if asked for, by worker processes. The same seed gives the
    same batches, whatever their number. `iter(dataset)` has grain's
    `get_state` and `set_state`, to stop and go on at the same record.

    `fit` begins an epoch anew from the dataset's first batch. So that each
    epoch has another order, leave `num_epochs` at None and set
    `steps_per_epoch`.

    Args:
        records: `TarShards`, or a sequence of dicts with `"image"` (bytes),
            `"text"` (str), `"key"` (str) and perhaps `"shard"` (str).
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

    Returns:
        A `grain.IterDataset` of dicts: `"images"` of shape `(n, image_size,
        image_size, 3)`, uint8; `"token_ids"` `(n, length)`, int32; `"key"`
        `(n, 4)`, int32 (see `record_key`).

    Raises:
        ValueError: A size is below 1, there is no batch to yield, no record
            of a number, or the tokenizer gives no such rows. While it runs:
            a record cannot be decoded (its key is named).

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
    check_sizes(image_size=image_size, batch_size=batch_size)
    if rows is not None:
        records = Rows(records, rows)
    check_not_empty(len(records), batch_size, num_epochs, drop_remainder)
    dataset = grain.MapDataset.source(records)
    if shuffle:
        # Not `shuffle(seed)`: grain adds the epoch to it, so that the second
        # epoch of seed 0 would be the first of seed 1.
        dataset = dataset.seed(seed).shuffle()
    dataset = dataset.repeat(num_epochs).map(
        Example(checked_tokenizer(tokenizer, records), image_size)
    )
    # Threads and processes hand over parts of a super-batch: a record at a
    # time costs more than to decode it, a whole one would be made by one.
    dataset = dataset.batch(min(PART_SIZE, batch_size))
    dataset = dataset.to_iter_dataset(
        grain.ReadOptions(
            num_threads=os.cpu_count() or 1,
            prefetch_buffer_size=PARTS_AHEAD,
        )
    )
    if num_workers:
        mark_flags_as_parsed()
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=num_workers)
        )
    return grain.experimental.RebatchIterDataset(
        dataset, batch_size, drop_remainder=drop_remainder
    )


class Rows:
    """Some of many records, in an order of their own."""

    def __init__(self, records, rows):
        self.records, self.rows = records, np.asarray(rows)
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
            return {
                "images": decode_image(record["image"], self.image_size),
                "token_ids": self.tokenizer([record["text"]])[0],
                "key": record_key(record["key"], record.get("shard", "")),
            }
        except ValueError as error:
            raise ValueError(
                f"The record {record['key']!r} of shard "
                f"{record.get('shard', '')!r} is bad: {error}"
            ) from error


def mark_flags_as_parsed():
    """Let grain start processes outside of `absl.app.run`.

    It reads a flag that nobody has parsed there (google/grain, issue 1355).
    """
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def check_sizes(**sizes):
    """Raise unless all are at least 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(
                f"Expected `{name}` to be at least 1. Received: {name}={size}"
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
