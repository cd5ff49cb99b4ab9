"""All records of a small source as arrays."""

import concurrent.futures
import os
from collections.abc import Sequence

import keras
import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.check_records import check_records
from keras_jest.data.checked_tokenizer import checked_tokenizer
from keras_jest.data.super_batches import Example
from keras_jest.data.super_batches import Rows
from keras_jest.data.super_batches import check_sizes
from keras_jest.types import Records
from keras_jest.types import TokenizerLike

STRIDE = 256


@keras_jest_export("keras_jest.data.load_arrays")
def load_arrays(
    records: Records,
    tokenizer: TokenizerLike,
    image_size: int,
    verbose: int = 1,
    rows: Sequence[int] | np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Decode and tokenize all records once, into memory.

    For evaluation, and for pools that fit: 20,000 pictures of 64 pixels are
    245 MB. The dict goes to `fit(arrays, batch_size=...)` as it is.

    Args:
        records: as for `super_batches`, such as `CaptionTable`.
        tokenizer: `Tokenizer`, or any callable that turns captions into rows
            of int token ids of one length, a list of them or one at a time:
            a function, a tokenizer of keras-hub with a `sequence_length`, a
            preprocessor of its CLIP or SigLIP, a tokenizer of transformers
            that knows its `model_max_length`.
        image_size: int. Side of the square pictures, in pixels.
        verbose: 0 or 1. Whether to show a progress bar.
        rows: int array or `None`. Only these records, by their numbers, such
            as those held out for evaluation.

    Returns:
        A dict of `"images"` of shape `(n, image_size, image_size, 3)`, uint8;
        `"token_ids"` `(n, length)`, int32; `"key"` `(n, 4)`, int32, in the
        order of the records, or of `rows`.

    Raises:
        ValueError: These are no records, or none, one cannot be decoded,
            `rows` are not their numbers, or the tokenizer gives no such rows.

    Example:

    ```python
    import io
    from PIL import Image
    from keras_jest.data import Tokenizer, load_arrays

    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    records = [{"image": file.getvalue(), "text": "a square", "key": "0"}]
    tokenizer = Tokenizer.train(["a square"], sequence_length=8)
    arrays = load_arrays(records, tokenizer, image_size=16, verbose=0)
    arrays["token_ids"].shape  # (1, 8)
    ```
    """
    check_records(records)
    check_sizes(image_size=image_size)
    if rows is not None:
        records = Rows(records, rows)
    if not len(records):
        raise ValueError("Expected at least one record. Received: none")
    example = Example(checked_tokenizer(tokenizer, records), image_size)
    progress = keras.utils.Progbar(
        len(records), verbose=verbose, unit_name="record"
    )
    arrays = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(records), STRIDE):
            stop = min(start + STRIDE, len(records))
            numbers = range(start, stop)
            read = list(threads.map(lambda i: example(records[i]), numbers))
            for name in read[0]:
                part = np.stack([row[name] for row in read])
                if start == 0:
                    shape = (len(records), *part.shape[1:])
                    arrays[name] = np.empty(shape, part.dtype)
                arrays[name][start:stop] = part
            progress.update(stop)
    return arrays
