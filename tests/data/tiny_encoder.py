"""The smallest image-text model for the records of these tests."""

import keras

from keras_jest.models import DualEncoder


def make_encoder(vocabulary_size):
    images = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ]
    )
    texts = keras.Sequential(
        [
            keras.Input((8,), dtype="int32"),
            keras.layers.Embedding(vocabulary_size, 4),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )
    return DualEncoder(images, texts)
