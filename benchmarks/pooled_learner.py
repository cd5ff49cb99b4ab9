"""The learner of the pools of drawings: it takes pictures of any size."""

import math

import keras
from keras import layers

from keras_jest.models import DualEncoder

SUB_BATCH = 128
WIDTH = 128
VOCABULARY = 2000
SEQUENCE_LENGTH = 16


def make_model(seed, width=WIDTH, sub_batch=SUB_BATCH):
    """A small convolutional net with global pooling, and a bag of words.

    They learn from 1,000 steps; transformers of this size do not. The bias
    starts at the odds of a batch, as SigLIP's -10 does for 32,768 pairs.
    """
    keras.utils.set_random_seed(seed)
    image_encoder = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Rescaling(1 / 127.5, offset=-1.0),
            *convolution(width // 4),
            *convolution(width // 2),
            *convolution(width),
            *convolution(2 * width),
            layers.GlobalAveragePooling2D(),
            layers.LayerNormalization(),
            layers.Dense(2 * width, activation="gelu"),
            layers.Dense(width),
        ]
    )
    bias = -math.log(sub_batch)
    return DualEncoder(image_encoder, bag_of_words(width), logit_bias=bias)


def bag_of_words(width):
    return keras.Sequential(
        [
            keras.Input((SEQUENCE_LENGTH,), dtype="int32"),
            layers.Embedding(VOCABULARY, width),
            layers.GlobalAveragePooling1D(),
            layers.LayerNormalization(),
            layers.Dense(width),
        ]
    )


def convolution(filters):
    return [
        layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(momentum=0.9),
        layers.Activation("gelu"),
    ]
