"""What Keras' adapters need to accept a torch `DataLoader` of dicts."""

import copy
import sys

import numpy as np

from keras_jest.models.model_inputs import BatchError


def with_tuples(dataset):
    """Let a torch `DataLoader` of dicts yield tuples, as Keras expects.

    Args:
        dataset: anything that `fit` takes.

    Returns:
        A copy of a `DataLoader` whose batches are `(batch,)` where they were
        dicts; anything else as it is.
    """
    torch_data = sys.modules.get("torch.utils.data")
    if torch_data is None or not isinstance(dataset, torch_data.DataLoader):
        return dataset
    wrapped = copy.copy(dataset)
    # A DataLoader refuses new attributes of its own once it is made.
    object.__setattr__(wrapped, "collate_fn", TupleCollate(dataset.collate_fn))
    return wrapped


class TupleCollate:
    """Collates as before and puts a dict into a tuple; travels to workers."""

    def __init__(self, collate):
        self.collate = collate

    def __call__(self, records):
        batch = self.collate(records)
        check_no_texts(batch)
        return (batch,) if isinstance(batch, dict) else batch


def check_no_texts(batch):
    """Raise if a dict or a tuple of arrays holds texts: no tensors."""
    if isinstance(batch, list | tuple):
        batch = dict(enumerate(batch))
    texts = [
        name
        for name, rows in (batch.items() if isinstance(batch, dict) else ())
        if isinstance(rows, list | tuple | np.ndarray)
        and np.asarray(rows[:1]).dtype.kind in "USO"
    ]
    if texts:
        raise BatchError(explained_texts(f"texts in {texts}"))


def explained_texts(received):
    return (
        "Texts cannot travel through `fit`, `evaluate` and `predict`, numbers "
        "can: make token ids of captions with a tokenizer, such as "
        "keras_jest.data.Tokenizer, whose call returns them as an array, and "
        f"leave other texts out. Received: {received}"
    )
