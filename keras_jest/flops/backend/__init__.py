"""What must differ between backends: how a pass is traced and read.

Each module has the same function. `count(look, inputs, variables, trainable)`
returns the FLOPs of `look(inputs)`, and of the gradients of a scalar of its
outputs with respect to `trainable` if there are any: matrix products and
convolutions, two for each multiply-add, padding included. `inputs` are
`keras.KerasTensor`s of known shapes; `variables` are all that is read.
"""

import importlib

import keras

count = importlib.import_module(
    f"keras_jest.flops.backend.{keras.backend.backend()}"
).count
