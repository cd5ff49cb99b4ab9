"""How a selecting model is fitted: the method `SelectingModel.fit`.

And Keras' own `fit`, for what callbacks and grain ask of it.
"""

import functools
import inspect
from typing import Any

import keras

from keras_jest.data.position import GRAIN_ITERATORS
from keras_jest.data.position import is_grain
from keras_jest.data.position import positioned
from keras_jest.data.replay import Replay
from keras_jest.models.data_loaders import check_no_texts
from keras_jest.models.data_loaders import with_tuples
from keras_jest.models.equal_rows import check_equal_rows
from keras_jest.models.model_inputs import check_has_names
from keras_jest.selection import policies
from keras_jest.selection.policies import PolicyLike
from keras_jest.trainers.columns import check_steps
from keras_jest.trainers.columns import forget_steps
from keras_jest.trainers.compile_checks import check_policy
from keras_jest.trainers.compile_checks import check_store
from keras_jest.trainers.explained_errors import explained_errors
from keras_jest.trainers.holding import holding
from keras_jest.trainers.labels import LabelCheck
from keras_jest.trainers.labels import check_labels
from keras_jest.trainers.labels import num_classes
from keras_jest.trainers.monitors import behind_what_they_monitor
from keras_jest.trainers.monitors import check_monitors
from keras_jest.trainers.recorded_order import in_recorded_order


def fit(
    self: keras.Model,
    x: Any = None,
    *args: Any,
    selection: PolicyLike = "compiled",
    **kwargs: Any,
) -> keras.callbacks.History:
    """Train, as `keras.Model.fit` does, on what is selected from `x`.

    Args:
        x: dataset of super-batches: `tf.data`, grain, `PyDataset`, torch
            `DataLoader`, a generator of `(dict,)`, or NumPy arrays with
            `batch_size` as the size of the super-batch.
        *args: further arguments of `keras.Model.fit`.
        selection: a policy or its name for this call alone, `None` for
            plain training on whole super-batches, or `"compiled"`.
        **kwargs: further arguments of `keras.Model.fit`.

    Returns:
        A `keras.callbacks.History`.

    Raises:
        ValueError: if the policy needs a reference and there is none,
            the first super-batch has fewer rows than the policy keeps,
            the batches lack an input of a model or a column that the policy
            reads, or too few rows of a
            super-batch are finite.
    """
    if "validation_data" in kwargs:
        kwargs["validation_data"] = with_tuples(kwargs["validation_data"])
    check_arrays(self.learner, x)
    self.roles.freeze_reference()
    check_labels(self, args[0] if args else kwargs.get("y"))
    check_store(self.reference, x)
    # A run that broke off has left its faults, and callbacks unaware.
    self.selection_metrics.forget_faults()
    forget_steps(self.selection)
    held: dict[str, Any] = {"recorders": (LabelCheck(self), *self.recorders)}
    if selection != "compiled":
        policy, settings = policies.get(selection), self.settings
        forget_steps(policy)
        scores_by = settings.score_loss or self.loss
        check_policy(policy, self, scores_by, settings.is_scheduled)
        held |= {"selection": policy, "train_function": None}
    with explained_errors(), holding(self, **held):
        if isinstance(x, Replay):
            kwargs = in_recorded_order(x, self.selection, kwargs)
        history = fit_of(self, with_tuples(x), *args, **kwargs)
        check_steps(self.selection)
    self.selection_metrics.check(num_classes(self))
    return history


def check_arrays(learner, x):
    """Raise if arrays, which are there to be looked at, do not fit."""
    if isinstance(x, dict):
        check_no_texts(x)
        check_equal_rows(x)
    elif isinstance(x, list | tuple) or hasattr(x, "__array__"):
        check_has_names(learner, x, "learner")


def fit_of(model, *args, **kwargs):
    """Run Keras' `fit`, or what callbacks make of it.

    A callback that must know the data, or fit in parts, has a method
    `around_fit`, which is given a `fit` and returns one.

    Args:
        model: a `SelectingModel`.
        *args: arguments of `keras.Model.fit`.
        **kwargs: arguments of `keras.Model.fit`.

    Returns:
        A `keras.callbacks.History`.
    """
    keras_fit = functools.partial(keras.Model.fit, model)
    arguments = inspect.signature(keras_fit).bind(*args, **kwargs).arguments
    if is_grain(arguments.get("x")):
        # By default Keras warns that it does not shuffle.
        arguments.setdefault("shuffle", False)
    fit = functools.partial(fit_from_iterator, model, keras_fit)
    callbacks = list_of(arguments.get("callbacks"))
    check_monitors(model, callbacks)
    callbacks = behind_what_they_monitor(callbacks)
    if hasattr(arguments.get("callbacks"), "callbacks"):
        arguments["callbacks"].callbacks[:] = callbacks
    elif callbacks:
        arguments["callbacks"] = callbacks
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
        with holding(model, recorders=(*model.recorders, data)):
            return keras_fit(data, **arguments)
    finally:
        data.rewind()


def list_of(callbacks):
    """The callbacks of a list, a `CallbackList`, or one alone."""
    return keras.tree.flatten(getattr(callbacks, "callbacks", callbacks) or [])
