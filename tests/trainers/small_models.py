"""Models, pools and runs that are small, and equal on every backend."""

import keras
import numpy as np

from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder

WIDTH = 8
VOCABULARY = 17


def make_pool(num_rows=40, first=0):
    """Images, texts and keys by a formula; every row is another one."""
    rows = np.arange(first, first + num_rows)
    columns = np.arange(6)
    images = np.sin(1.7 * rows[:, None] + 0.9 * columns + rows[:, None] ** 2)
    token_ids = (rows[:, None] * np.array([3, 5, 7]) + 1) % VOCABULARY
    key = np.stack([rows, rows // 3, rows * 0, rows * 0 + 7], axis=1)
    return {
        "images": images.astype("float32"),
        "key": key.astype("int32"),
        "token_ids": token_ids.astype("int32"),
    }


def take(pool, rows):
    return {key: values[rows] for key, values in pool.items()}


def cut(pool, batch_size):
    """The super-batches of a pool in order, the last one perhaps smaller."""
    num_rows = len(pool["key"])
    return [
        take(pool, slice(first, first + batch_size))
        for first in range(0, num_rows, batch_size)
    ]


def make_towers(image_layers=(), **kwargs):
    images = keras.Sequential(
        [
            keras.Input((6,)),
            *image_layers,
            keras.layers.Dense(WIDTH, **kwargs),
        ]
    )
    texts = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            keras.layers.Embedding(VOCABULARY, WIDTH),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )
    return images, texts


def make_dual_encoder(offset=0.0, image_layers=(), **kwargs):
    model = DualEncoder(*make_towers(image_layers, **kwargs))
    model.build({"images": (None, 6), "token_ids": (None, 3)})
    set_weights_by_formula(model, offset)
    return model


def set_weights_by_formula(model, offset):
    """Same weights on every backend; scale and bias stay as they are."""
    for number, weight in enumerate(model.trainable_weights):
        if len(weight.shape):
            phase = 0.37 * np.arange(np.prod(weight.shape)) + number + offset
            weight.assign(np.sin(phase).reshape(weight.shape))


def make_model(learner=None, reference=None, seed=3, policy=None, **kwargs):
    """A compiled `JESTModel` of two small dual encoders.

    Unless told otherwise it keeps 5 rows; their choice compiles quickly.
    """
    model = JESTModel(
        learner or make_dual_encoder(),
        reference or make_dual_encoder(offset=1.0),
        seed=seed,
        policy=policy,
    )
    kwargs = {
        "optimizer": keras.optimizers.SGD(0.1),
        "loss": SigmoidContrastiveLoss(),
        "selection": IndependentSelection(sub_batch_size=5),
        **kwargs,
    }
    model.compile(**kwargs)
    return model


def make_classifier(offset=0.0, layers=()):
    model = keras.Sequential(
        [keras.Input((6,)), *layers, keras.layers.Dense(3)]
    )
    set_weights_by_formula(model, offset)
    return model


def make_labelled(num_rows=40):
    """Inputs, labels and weights for `make_classifier`."""
    rows = np.arange(num_rows)
    weight = 1 + 0.5 * np.cos(rows)
    return (
        make_pool(num_rows)["images"],
        (rows**2 % 3).astype("int32"),
        weight.astype("float32"),
    )


class Recorder:
    """Keeps what every step chose, of those that choose."""

    def __init__(self, model):
        self.steps = []
        model.recorders = (self,)

    def __call__(self, chosen):
        if "picks" in chosen:
            self.steps.append({key: to_numpy(chosen[key]) for key in chosen})

    @property
    def picks(self):
        return [step["picks"].tolist() for step in self.steps]


def fit(model, pool, batch_size=20, **kwargs):
    """Fit on the super-batches of a pool in order; return the history."""
    kwargs = {"shuffle": False, "verbose": 0, **kwargs}
    return model.fit(pool, batch_size=batch_size, **kwargs).history


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def weights_of(model):
    return [to_numpy(weight) for weight in model.weights]


def assert_same_weights(first, second, **tolerance):
    """Equal weights: to the last bit, or to a tolerance.

    Two programs may add float32 numbers in another order, which is worth
    some 1e-7 of the largest term in every step: 1e-6 in a few steps, near 0
    and relative to numbers about 1, with room for gradients of 10.
    """
    for one, other in zip(weights_of(first), weights_of(second), strict=True):
        np.testing.assert_allclose(
            one, other, **(tolerance or {"rtol": 0, "atol": 0})
        )
