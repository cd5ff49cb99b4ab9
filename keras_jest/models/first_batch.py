"""The first batch of a run, looked at on its way to the first step."""

import keras

from keras_jest.data.position import without_position
from keras_jest.models import backend
from keras_jest.models.expected_units import check_units

TASKS = ("train", "test", "predict")


def only_itself(model, task):
    """The models that see a batch of a model that holds no other."""
    del task
    return {f"model '{model.name}'": model}


def checks_first_batch(models_that_look=only_itself):
    """Let a class of models check the units of what it is given.

    The first batch of each `fit`, `evaluate` and `predict` is checked, and
    that of each call of `train_on_batch` and the like, when Keras hands it
    to the function that makes the first step: nothing is read twice from a
    dataset, and nothing of it is lost.

    Args:
        models_that_look: function of the model and what it does, `"train"`,
            `"test"` or `"predict"`, to a dict of the models that will see
            the batch, by what they are called in an error.

    Returns:
        A decorator of a subclass of `keras.Model`.
    """

    def decorate(cls):
        for task in TASKS:
            name = f"make_{task}_function"
            make = checking_make(getattr(cls, name), task, models_that_look)
            setattr(cls, name, make)
        return cls

    return decorate


def checking_make(keras_make, task, models_that_look):
    """Keras' `make_train_function` or the like, for a function that checks."""
    name = f"{task}_function"

    def make(self, force=False):
        keras_make(self, force)
        function = getattr(self, name)
        if not isinstance(function, ChecksFirstBatch):
            function = ChecksFirstBatch(self, function, task, models_that_look)
            setattr(self, name, function)
        function.is_next_first = True
        return function

    make.__name__ = f"make_{name}"
    return make


class ChecksFirstBatch:
    """Runs steps as a function of Keras does, and looks at the first batch."""

    def __init__(self, model, function, task, models_that_look):
        self.model, self.task = model, task
        self.function = function
        self.models_that_look = models_that_look
        self.is_next_first = True

    def __call__(self, *arguments):
        if self.is_next_first:
            batch, arguments = backend.first_batch(self.model, arguments)
            try:
                self.check(batch)
            except ValueError:
                backend.hand_back(self.model, arguments)
                raise
            self.is_next_first = False
        return self.function(*arguments)

    def check(self, batch):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        x, _ = without_position(x)
        models = self.models_that_look(self.model, self.task)
        for role, model in models.items():
            check_units(model, x, role)
