"""What a reference is to a store: any model, as a function over batches."""

import functools
import hashlib
import inspect
import os
from collections.abc import Mapping
from typing import NamedTuple

import keras
import numpy as np

from keras_jest.data.record_key import key_to_hex
from keras_jest.data.short_name import short_name
from keras_jest.losses.pairs import PAIR_KEYS
from keras_jest.models import backend
from keras_jest.models.model_inputs import model_inputs

EMBEDDINGS = PAIR_KEYS[:2]
SCALARS = PAIR_KEYS[2:]


class StoreReference(NamedTuple):
    """A reference that is ready to run.

    Attributes:
        run: function from batches, all of one size, in an iterable that has
            a length, to a dict of NumPy arrays over all of their rows.
        digest: function without arguments to a str or `None`: what it is.
            Called after a first run, when any model has its weights.
    """

    run: object
    digest: object


def open_reference(reference, name, reads_records):
    """Load, make or take a reference.

    Args:
        reference: as in `build_store`.
        name: str that stands for it in the fingerprint, or `None`.
        reads_records: bool, whether it is given records as they are.

    Returns:
        A `StoreReference`.
    """
    if isinstance(reference, (str, os.PathLike)):
        reference = keras.saving.load_model(reference, compile=False)
    elif is_maker(reference):
        reference = reference()
    if isinstance(reference, keras.Model):
        check_reads_batches(reference, reads_records)
        run = functools.partial(run_model, reference)
        return StoreReference(run, lambda: name or model_digest(reference))
    check_callable(reference)
    run = functools.partial(run_callable, reference)
    return StoreReference(run, lambda: name)


def check_callable(reference):
    """Raise unless a reference may be one."""
    if not callable(reference):
        raise ValueError(
            "Expected `reference` to be a Keras model, the path of a `.keras` "
            "file, a function of a batch, or one without arguments that makes "
            f"a reference. Received: reference={reference!r}"
        )


def check_reads_batches(model, reads_records):
    """Raise if a Keras model would be given records, bytes and text."""
    if reads_records:
        raise ValueError(
            "Expected a `tokenizer` and an `image_size`, for a reference that "
            "is a Keras model: it reads batches. Or wrap it in a function of "
            f"records. Received: reference={model}, tokenizer=None, "
            "image_size=None"
        )


def is_maker(reference):
    """Whether it is a function that asks for nothing: it makes a reference."""
    if isinstance(reference, keras.Model) or not callable(reference):
        return False
    try:
        signature = inspect.signature(reference)
        signature.bind()
    except (TypeError, ValueError):  # It needs a batch, or will not say.
        return False
    # `*args` is how torch's modules and Keras' layers ask for a batch.
    kinds = {of.kind for of in signature.parameters.values()}
    return inspect.Parameter.VAR_POSITIONAL not in kinds


def run_model(model, batches):
    """Run a Keras model on what it names of each batch."""
    outputs = backend.predict_batches(model, InputsOf(model, batches))
    if not isinstance(outputs, Mapping):
        outputs = {f"an output of type {type(outputs).__name__}": outputs}
    return check_names(outputs, "a Keras model")


class InputsOf:
    """Batches of what a model names of batches."""

    def __init__(self, model, batches):
        self.model, self.batches = model, batches

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        for batch in self.batches:
            yield model_inputs(self.model, batch, "reference")


def run_callable(function, batches):
    """Run a function, and bring what it returns to one form."""
    outputs = [one_form(call(function, of), len_of(of)) for of in batches]
    check_alike(outputs)
    return {
        name: np.concatenate([output[name] for output in outputs])
        for name in outputs[0]
    }


def call(function, batch):
    """Call a function; if it fails, say with which records."""
    try:
        return function(batch)
    except Exception as error:
        names = [repr(name) for name in (name_of(batch, 0), name_of(batch, -1))]
        error.add_note(
            f"In the reference, with {len_of(batch)} records from "
            f"{' to '.join(names)}."
        )
        raise


def name_of(batch, row):
    """What a row of a batch is known by."""
    if isinstance(batch, Mapping):
        return key_to_hex(batch["key"][row])
    return short_name(batch[row]["key"])


def check_alike(outputs):
    """Raise unless a function returned the same of every batch."""
    widths = [{name: of[name].shape[1:] for name in of} for of in outputs]
    for number, found in enumerate(widths):
        if found != widths[0]:
            raise ValueError(
                "Expected a reference that returns arrays of one width for all "
                f"records. Received: in batch {number} of a part {found}, "
                f"after {widths[0]}"
            )


def len_of(batch):
    """How many rows a batch has: a dict of arrays, or a list of records."""
    return len(batch["key"] if isinstance(batch, Mapping) else batch)


def one_form(outputs, num_rows):
    """Arrays with a row for each record, of what a function returned."""
    if not isinstance(outputs, Mapping):
        outputs = {f"an object of type {type(outputs).__name__}": outputs}
    check_names(outputs, "a function")
    if "loss" in outputs:
        return {"loss": to_rows("loss", outputs, (num_rows,))}
    arrays = {
        name: to_rows(name, outputs, (num_rows, None)) for name in EMBEDDINGS
    }
    for name in SCALARS:
        value = to_numpy(0.0 if outputs.get(name) is None else outputs[name])
        if value.size not in (1, num_rows):
            raise bad_shape(name, value, "one number")
        arrays[name] = np.broadcast_to(value.reshape(-1), (num_rows,))
    return arrays


def check_names(outputs, kind):
    """Raise unless a reference returns pairs, or losses."""
    if "loss" in outputs and kind == "a function":
        return outputs
    if not {*EMBEDDINGS, "logit_scale"} <= {*outputs}:
        raise ValueError(
            "Expected a reference that returns pairs, a dict of "
            f"{', '.join(PAIR_KEYS)} (0 if it is left out), or, from a "
            "function, of `loss`, one number a record. Received: "
            f"{kind} that returned {sorted(map(str, outputs))}. Wrap two "
            "encoders in `keras_jest.models.DualEncoder`, or write a function "
            "that returns such a dict."
        )
    return outputs


def to_rows(name, outputs, shape):
    """An output as an array of this shape, None being any size."""
    array = to_numpy(outputs[name])
    fits = array.ndim == len(shape) and all(
        size in (None, found)
        for size, found in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise bad_shape(name, array, f"shape {shape}, a row for each record")
    return array


def bad_shape(name, array, expected):
    return ValueError(
        f"Expected `{name}` of a reference to be {expected}. Received: "
        f"{name} of shape {array.shape}"
    )


def to_numpy(array):
    """An array of any library in float32, wherever it is."""
    if hasattr(array, "detach"):  # Of torch, perhaps bfloat16, on a device.
        array = array.detach().float().cpu()
    if hasattr(array, "numpy"):  # Of TensorFlow, whose bfloat16 needs it.
        array = array.numpy()
    return np.asarray(array).astype("float32")


def model_digest(model):
    """A digest of a Keras model's class, precision, sizes and weights.

    Names are no part of it: Keras numbers them, so that the same file loaded
    twice would be two models.
    """
    hashed = hashlib.blake2b(digest_size=16)
    hashed.update(f"{type(model).__name__} {settings_of(model)}".encode())
    for weight in model.weights:
        array = keras.ops.convert_to_numpy(weight)
        hashed.update(f"{array.shape} {array.dtype}".encode())
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()


def settings_of(model):
    """The plain values of a model's configuration."""
    try:
        config = model.get_config()
    except NotImplementedError:
        config = {}
    plain = {
        name: value
        for name, value in config.items()
        if isinstance(value, (bool, int, float, str))
        and name not in ("name", "trainable")
    }
    return sorted(plain.items()), model.compute_dtype
