"""What a reference returned, as the columns of a part of a store."""

import numpy as np

from keras_jest.data.short_name import short_name
from keras_jest.models.store_job import is_same
from keras_jest.models.store_reference import EMBEDDINGS
from keras_jest.models.store_reference import SCALARS

MAX_NAMES = 5


def columns_and_scalars(outputs, rows, records):
    """Check what a reference returned, and bring it to its form.

    Args:
        outputs: dict of arrays, the last rows perhaps repeated.
        rows: int array of shape `(n,)`, the numbers of the records.
        records: sequence of records, to name those that are bad.

    Returns:
        Tuple `(columns, scalars)`: a dict of float32 arrays of `n` rows,
        embeddings of length 1 or losses, and a dict of scale and bias, each
        a float, `None` of losses.
    """
    names = EMBEDDINGS if EMBEDDINGS[0] in outputs else ("loss",)
    columns = {
        name: np.asarray(outputs[name], "float32")[: len(rows)]
        for name in names
    }
    for name, column in columns.items():
        check_finite(name, column, rows, records)
    if "loss" in columns:
        return columns, dict.fromkeys(SCALARS)
    if columns[EMBEDDINGS[0]].shape != columns[EMBEDDINGS[1]].shape:
        raise other_shapes(columns)
    return (
        {name: unit_rows(column) for name, column in columns.items()},
        {name: one_value(name, outputs) for name in SCALARS},
    )


def unit_rows(rows):
    """Scale rows to length 1, but for those that have it; 0 stays 0."""
    lengths = np.linalg.norm(rows.astype("float64"), axis=1, keepdims=True)
    # 1e-5 is far above what float32 leaves of a length of 1, and far below
    # what float16 can tell: rows of a model are kept to the last bit.
    other = (np.abs(lengths - 1) > 1e-5) & (lengths > 0)
    scaled = rows / np.where(other, lengths, 1.0)
    return np.where(other, scaled, rows).astype("float32")


def one_value(name, outputs):
    """The scale or the bias, one for all records."""
    values = np.asarray(outputs.get(name, 0.0), "float64").reshape(-1)
    if not np.isfinite(values).all() or np.ptp(values) > 1e-5 * abs(values[0]):
        raise ValueError(
            f"Expected a reference of one finite `{name}` for all records. "
            f"Received: {name} from {values.min()} to {values.max()}"
        )
    return float(values[0])


def check_outputs(columns, scalars, metadata):
    """Raise unless width, scale and bias are what they were in the first part.

    Scale and bias are equal up to the last digits, in which machines may
    differ.
    """
    for name, value in scalars.items():
        if not is_same(value, metadata[name]):
            raise ValueError(
                f"Expected a reference of one `{name}` for all records. "
                f"Received: {name}={value} after {metadata[name]}"
            )
    for name, column in columns.items():
        width = None if column.ndim == 1 else column.shape[1]
        if width != metadata["width"]:
            raise ValueError(
                "Expected a reference of one width for all records. Received: "
                f"{name} of width {width} after {metadata['width']}"
            )


def check_finite(name, column, rows, records):
    """Raise, and name the records, if there are values that are none."""
    is_finite = np.isfinite(column.reshape(len(column), -1)).all(axis=1)
    bad = rows[~is_finite]
    if len(bad):
        names = [
            repr(short_name(records[int(row)]["key"]))
            for row in bad[:MAX_NAMES]
        ]
        raise ValueError(
            f"Expected finite values of `{name}` from the reference. A pair "
            "that is not finite would never be chosen, and a store is built "
            f"once: mend the reference or leave these out. Received: "
            f"{len(bad)} of {len(rows)} records that are not, such as "
            f"{', '.join(names)}"
        )


def other_shapes(columns):
    shapes = {name: column.shape for name, column in columns.items()}
    return ValueError(
        "Expected embeddings of pictures and of texts of one shape. "
        f"Received: {shapes}"
    )
