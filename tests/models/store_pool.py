"""Records, and references of several kinds, to build small stores of."""

import io
import os
import signal
import time

import keras
import numpy as np
from PIL import Image

from keras_jest.data import Tokenizer
from keras_jest.data import decode_image
from keras_jest.models import DualEncoder

NUM_RECORDS = 23
IMAGE_SIZE = 4


def make_picture(number):
    pixels = np.random.default_rng(number).integers(0, 256, (6, 5, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.astype("uint8")).save(file, "PNG")
    return file.getvalue()


def make_records(num_records=NUM_RECORDS):
    return [
        {
            "image": make_picture(number),
            "text": f"{number} red dogs of {number % 7}",
            "key": f"r{number}",
            "json": {"label": number % 3},
        }
        for number in range(num_records)
    ]


RECORDS = make_records()
TOKENIZER = Tokenizer.train([record["text"] for record in RECORDS], 300, 6)


def make_model(seed=0):
    """A Keras model that returns pairs, of the same weights everywhere."""
    images = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    texts = [keras.layers.Embedding(300, 5), keras.layers.Flatten()]
    model = DualEncoder(
        keras.Sequential([*images, keras.layers.Dense(5)]),
        keras.Sequential([*texts, keras.layers.Dense(5)]),
        logit_scale=12.3,
        logit_bias=-3.1,
    )
    size = (1, IMAGE_SIZE, IMAGE_SIZE, 3)
    model(
        {"images": np.zeros(size, "uint8"), "token_ids": np.zeros((1, 6), int)}
    )
    random = np.random.default_rng(seed)
    model.set_weights(
        [
            random.normal(size=w.shape)
            if len(w.shape)
            else keras.ops.convert_to_numpy(w)  # Scale and bias.
            for w in model.weights
        ]
    )
    return model


def of_records(records):
    """A reference that does its own preprocessing, as open_clip's do."""
    images = np.stack([decode_image(r["image"], 2) for r in records])
    lengths = [[len(r["text"]), r["text"].count("d"), 1] for r in records]
    return {
        "image_embedding": images.reshape(len(records), -1)[:, :3] + 1.0,
        "text_embedding": np.array(lengths, "float64"),
        "logit_scale": np.float32(7.5),
        "logit_bias": None,
    }


def make_of_records():
    return of_records


def losses_of_records(records):
    return {"loss": [r["json"]["label"] + len(r["text"]) for r in records]}


def slowly(records):
    """So slow that a build can be stopped within any part."""
    time.sleep(0.02)
    return of_records(records)


def make_slowly():
    with open(os.environ["STORE_POOL_PID"], "w") as file:
        file.write(str(os.getpid()))
    return slowly


def make_dying_once():
    """A reference whose first process to begin its third batch is killed."""
    calls = []
    backend = os.environ["STORE_POOL_BACKEND"]
    assert keras.backend.backend() == backend  # noqa: S101

    def dying(records):
        calls.append(1)
        place = os.environ["STORE_POOL_DIES_AT"]
        if len(calls) == 3:
            try:
                os.close(os.open(place, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return of_records(records)

    return dying


def make_dying():
    os.kill(os.getpid(), signal.SIGKILL)


def parts_of(path):
    """The bytes of each part of a store, by file name."""
    return {
        name: open(os.path.join(path, name), "rb").read()
        for name in sorted(os.listdir(path))
        if name.endswith(".arrow") and name != "_index.arrow"
    }
