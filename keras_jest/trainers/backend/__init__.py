"""What must differ between backends: how a step is made and run.

Each module has the same two functions. `train_step(model, keras_step, ...)`
selects and hands the sub-batch to `keras_step`, Keras' own training step.
`make_train_function(model, keras_make)` returns what runs such steps and
reports what was chosen; `keras_make` is Keras' own method.
"""

import importlib

import keras

_module = importlib.import_module(
    f"keras_jest.trainers.backend.{keras.backend.backend()}"
)
train_step = _module.train_step
make_train_function = _module.make_train_function
