"""Build a store with a reference of a legacy package: in its own process.

python run_foreign_reference.py tf_keras STORE EXPECTED.npz
"""

import sys

import numpy as np
from store_pool import IMAGE_SIZE
from store_pool import RECORDS
from store_pool import TOKENIZER

from keras_jest.data import load_arrays
from keras_jest.models import build_store

WIDTH = 5


def tf_keras_tower():
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.layers.Rescaling(1 / 255),
            tf_keras.layers.Conv2D(4, 2, activation="relu"),
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dense(WIDTH),
        ]
    )


def keras_cv_tower():
    import keras
    import keras_cv

    backbone = keras_cv.models.ResNetV2Backbone(
        stackwise_filters=[4],
        stackwise_blocks=[2],
        stackwise_strides=[1],
        include_rescaling=True,
        input_shape=(None, None, 3),
    )
    head = keras.layers.Dense(WIDTH)
    return keras.Sequential(
        [backbone, keras.layers.GlobalAveragePooling2D(), head]
    )


TOWERS = {"tf_keras": tf_keras_tower, "keras_cv": keras_cv_tower}


def main(package, path, expected):
    tower = TOWERS[package]()
    table = np.random.default_rng(0).normal(size=(300, WIDTH))

    def reference(batch):
        return {
            "image_embedding": tower(batch["images"].astype("float32")),
            "text_embedding": table[batch["token_ids"]].mean(axis=1),
            "logit_scale": 20.0,
            "logit_bias": -4.0,
        }

    build_store(
        path,
        reference,
        RECORDS,
        TOKENIZER,
        IMAGE_SIZE,
        batch_size=8,
        part_size=10,
        reference_name=package,
        verbose=0,
    )
    arrays = load_arrays(RECORDS, TOKENIZER, IMAGE_SIZE, verbose=0)
    images = tower.predict(arrays["images"].astype("float32"), verbose=0)
    texts = table[arrays["token_ids"]].mean(axis=1)
    np.savez(expected, key=arrays["key"], image=images, text=texts)


if __name__ == "__main__":
    main(*sys.argv[1:])
