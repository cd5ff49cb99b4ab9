"""Small stores for tests."""

import numpy as np

from keras_jest.data import record_key
from keras_jest.data.store_parts import part_name
from keras_jest.data.store_parts import write_part

WIDTH = 6
FINGERPRINT = {
    "reference": "of weights",
    "image_size": 8,
    "tokenizer": None,
    "identity": "shard/key",
    "records": "of records",
}


def make_keys(num_rows):
    return np.stack([record_key(str(row)) for row in range(num_rows)])


def make_columns(num_rows, width=WIDTH, dtype="float16"):
    """Rows that tell which they are: no two values of a column are equal."""
    if width is None:
        return {"loss": np.arange(num_rows, dtype="float32")}
    values = np.arange(num_rows * width, dtype=dtype).reshape(-1, width)
    return {"image_embedding": values, "text_embedding": -values}


def make_metadata(num_rows, part_size, width=WIDTH, dtype="float16"):
    return {
        "logit_scale": None if width is None else 10.0,
        "logit_bias": None if width is None else -10.0,
        "width": width,
        "dtype": dtype,
        "identity": "shard/key",
        "num_records": num_rows,
        "part_size": part_size,
        "fingerprint": FINGERPRINT,
    }


def write_store(folder, keys, columns, part_size, metadata):
    """Write all parts."""
    folder.mkdir(exist_ok=True)
    for number, start in enumerate(range(0, len(keys), part_size)):
        rows = slice(start, start + part_size)
        part = {name: columns[name][rows] for name in columns}
        write_part(folder / part_name(number), keys[rows], part, metadata)
    return folder
