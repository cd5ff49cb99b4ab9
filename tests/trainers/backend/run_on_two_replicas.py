"""Run by test_tensorflow.py in a process of its own; prints a line of JSON.

Two replicas of 10 rows each must do what one model does that selects from
each half by itself and takes the mean of both gradients.
"""

import json

import keras
import numpy as np
import tensorflow as tf
from small_models import cut
from small_models import fit
from small_models import make_dual_encoder
from small_models import make_model
from small_models import make_pool
from small_models import weights_of

from keras_jest.losses import SigmoidContrastiveLoss

POOL = make_pool(40)


class Recorded:
    """Picks of the first replica; Keras reports no other."""

    def __init__(self, model):
        self.picks = []
        model.recorders = (self.record,)

    def record(self, chosen):
        self.picks.append(chosen["picks"].numpy().tolist())


def main():
    devices = tf.config.list_physical_devices("CPU")
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(devices[0], two)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = make_model()
    start = weights_of(model.learner)
    recorded = Recorded(model)
    fit(model, POOL, batch_size=20)
    picks, weights = by_hand(len(recorded.picks))
    assert recorded.picks == picks, (recorded.picks, picks)
    got = weights_of(model.learner)
    result = {
        "num_replicas": strategy.num_replicas_in_sync,
        "draws": int(model.draws.numpy()),
        "distance": distance(got, weights),
        "moved": distance(got, start),
    }
    print(json.dumps(result))  # noqa: T201


def distance(first, second):
    pairs = zip(first, second, strict=True)
    return max(float(np.abs(one - other).max()) for one, other in pairs)


def by_hand(num_steps):
    """Mean gradient of two halves, each selected by a model of its own."""
    learner = make_dual_encoder()
    optimizer = keras.optimizers.SGD(0.1)
    first_picks = []
    for step, batch in enumerate(cut(POOL, 20)[:num_steps]):
        gradients = []
        for half in (slice(0, 10), slice(10, 20)):
            part = {key: rows[half] for key, rows in batch.items()}
            picks = picks_of(part, learner, step)
            if half.start == 0:
                first_picks.append(picks)
            rows = {key: part[key][picks] for key in learner.input_keys}
            with tf.GradientTape() as tape:
                loss = SigmoidContrastiveLoss()((), learner(rows))
            variables = [v.value for v in learner.trainable_variables]
            found = tape.gradient(loss, variables)
            gradients.append([tf.convert_to_tensor(one) for one in found])
        mean = [
            0.5 * (one + other) for one, other in zip(*gradients, strict=True)
        ]
        optimizer.apply(mean, learner.trainable_variables)
    return first_picks, weights_of(learner)


def picks_of(part, learner, step):
    model = make_model(optimizer=keras.optimizers.SGD(0.0))
    model.learner.set_weights(learner.get_weights())
    model.draws.assign(step)
    recorded = Recorded(model)
    fit(model, part, batch_size=10)
    return recorded.picks[0]


main()
