"""The training step of each backend; all else is in `JESTModel.select`."""

import importlib

import keras

SelectingModel = importlib.import_module(
    f"keras_jest.trainers.backend.{keras.backend.backend()}"
).SelectingModel
