"""Emoji drawings with their names, and a noisy pool made of them."""

from keras_jest.datasets.pictograms.captions import make_captions
from keras_jest.datasets.pictograms.load_data import load_data
from keras_jest.datasets.pictograms.web_pool import web_pool
