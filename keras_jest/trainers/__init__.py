"""`JESTModel`, and the training step of each backend."""

from keras_jest.trainers.jest_model import JESTModel
