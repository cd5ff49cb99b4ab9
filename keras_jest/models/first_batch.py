"""The first batch of a run, looked at on its way to the first step."""

from collections.abc import Callable
from typing import Any

import keras

from keras_jest.data.position import without_position
from keras_jest.models import backend
from keras_jest.models.data_loaders import check_no_texts
from keras_jest.models.expected_units import check_units

TASKS = ("train", "test", "predict")


def check_itself(model, x, y, task):
    """Check what a batch is for a model that holds no other."""
    del y, task
    check_units(model, x, f"model '{model.name}'")


def checks_first_batch(check=check_itself):
    """Let a class of models check what it is given.

    The first batch of each `fit`, `evaluate` and `predict` is checked, and
    that of each call of `train_on_batch` and the like, when Keras hands it
    to the function that makes the first step: nothing is read twice from a
    dataset, and nothing of it is lost.

    Args:
        check: function of the model, the inputs and targets of a batch and
            what is done with them, `"train"`, `"test"` or `"predict"`. It
            raises a `ValueError` if they do not fit.

    Returns:
        A decorator of a subclass of `keras.Model`.
    """

    def decorate(cls):
        for task in TASKS:
            name = f"make_{task}_function"
            make = checking_make(getattr(cls, name), task, check)
            setattr(cls, name, make)
        return cls

    return decorate


def checking_make(keras_make, task, check):
    """Keras' `make_train_function` or the like, for a function that checks."""
    name = f"{task}_function"

    def make(self: keras.Model, force: bool = False) -> Callable[..., Any]:
        keras_make(self, force)
        function = getattr(self, name)
        if not isinstance(function, ChecksFirstBatch):
            function = ChecksFirstBatch(self, function, task, check)
            setattr(self, name, function)
        function.is_next_first = True
        return function

    make.__name__ = f"make_{name}"
    return make


class ChecksFirstBatch:
    """Runs steps as a function of Keras does, and looks at the first batch."""

    def __init__(self, model, function, task, check):
        self.model, self.task = model, task
        self.function = function
        self.check = check
        self.is_next_first = True

    def __call__(self, *arguments):
        if self.is_next_first:
            arguments = self.looked_at(arguments)
            self.is_next_first = False
        return self.function(*arguments)

    def looked_at(self, arguments):
        """The arguments again, when the first batch of them will do."""
        try:
            batch, again = backend.first_batch(self.model, arguments)
            self.look_at(batch)
        except StopIteration:  # Keras goes on, and may find no batch at all.
            backend.hand_back(self.model, arguments)
            raise
        except Exception:
            # The data itself may fail, too.
            backend.hand_back(self.model, arguments)
            raise
        return again

    def look_at(self, batch):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        x, _ = without_position(x)
        if isinstance(x, dict):
            check_no_texts(x)
        self.check(self.model, x, y, self.task)
