"""What Keras and JAX raise in a run, in words that say what to do."""

import contextlib
import re

import keras

from keras_jest.models.data_loaders import explained_texts
from keras_jest.models.model_inputs import BatchError


@contextlib.contextmanager
def explained_errors():
    """Raise a `ValueError` that helps in place of one that does not."""
    try:
        yield
    except Exception as error:
        explanation = explained(error)
        if explanation is None:
            raise
        raise ValueError(explanation) from error


def explained(error):
    """What to say of an error: str, or `None` if it says enough."""
    found = first_batch_error(error)
    if found is not None:
        return str(found)
    # Keras reads the first batch of a dataset before any model sees it.
    if re.match("Invalid dtype: (str|bytes|object)", str(error)):
        return explained_texts(f"a batch that holds some ({error})")
    is_distributed = keras.distribution.distribution() is not None
    if is_distributed and "evenly divide" in str(error):
        return (
            "The devices do not divide a batch. Set `drop_remainder` in the "
            f"dataset, or another batch size. Received: {error}"
        )
    return None


def first_batch_error(error):
    """The first `BatchError` that led to an error, if one did."""
    found = None
    while error is not None:
        found = error if isinstance(error, BatchError) else found
        error = error.__cause__ or error.__context__
    return found
