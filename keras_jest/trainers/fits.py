"""Keras' `fit`, for what callbacks and grain ask of it."""

import functools
import inspect

import keras

from keras_jest.data.position import GRAIN_ITERATORS
from keras_jest.data.position import is_grain
from keras_jest.data.position import positioned
from keras_jest.trainers.holding import holding


def fit_of(model, keras_fit, *args, **kwargs):
    """Run Keras' `fit`, or what callbacks make of it.

    A callback that must know the data, or fit in parts, has a method
    `around_fit`, which is given a `fit` and returns one.

    Args:
        model: a `SelectingModel`.
        keras_fit: Keras' own method, bound to it.
        *args: arguments of `keras.Model.fit`.
        **kwargs: arguments of `keras.Model.fit`.

    Returns:
        A `keras.callbacks.History`.
    """
    arguments = inspect.signature(keras_fit).bind(*args, **kwargs).arguments
    if is_grain(arguments.get("x")):
        # By default Keras warns that it does not shuffle.
        arguments.setdefault("shuffle", False)
    fit = functools.partial(fit_from_iterator, model, keras_fit)
    callbacks = list_of(arguments.get("callbacks"))
    around = [of for of in callbacks if hasattr(of, "around_fit")]
    if len(around) > 1:
        raise ValueError(
            "One callback alone can decide where a run begins. "
            f"Received: {around}. Leave all but one out."
        )
    for callback in around:
        fit = callback.around_fit(model, fit)
    return fit(**arguments)


def fit_from_iterator(model, keras_fit, x=None, **arguments):
    """Fit, and leave a grain iterator behind what was trained."""
    if not is_grain(x, GRAIN_ITERATORS):
        return keras_fit(x, **arguments)
    data = positioned(x, **arguments)
    try:
        with holding(model, position_recorders=(data,)):
            return keras_fit(data, **arguments)
    finally:
        data.rewind()


def list_of(callbacks):
    """The callbacks of a list, a `CallbackList`, or one alone."""
    return keras.tree.flatten(getattr(callbacks, "callbacks", callbacks) or [])
