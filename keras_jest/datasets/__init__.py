"""Small real data that comes with the package."""

from keras_jest.datasets import pictograms
