"""What must differ between backends: how a function gets its batches.

Each module has the same functions. `first_batch(model, arguments)` takes
the arguments of a model's `train_function` or the like and returns the first
batch in them and arguments that still hold it. `hand_back(model, arguments)`
gives a model what Keras took from it for a step that is not made.
`predict_batches(model, batches)` returns what a model says of batches that
are all of one size, in an iterable that has a length. `copied_values(model,
arguments)` returns the variables that a step reads, each with a copy of its
value, which outlives the step. `next_batch(model, arguments)` is as
`first_batch`, of any step of a `SelectingModel`. `export(model, keras_export,
filepath, format, verbose, input_signature, **kwargs)` exports a model by the
method `keras_export` with the arguments after it, or in its place.
"""

import importlib

import keras

_module = importlib.import_module(
    f"keras_jest.models.backend.{keras.backend.backend()}"
)
copied_values = _module.copied_values
export = _module.export
first_batch = _module.first_batch
hand_back = _module.hand_back
next_batch = _module.next_batch
predict_batches = _module.predict_batches
