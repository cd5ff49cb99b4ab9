"""Run by test_tensorflow.py in a process of its own; prints a line of JSON.

Learner, online model and reference must move by the mean of what they would
learn on each half of the super-batch by itself.
"""

import json

import keras
import numpy as np
import tensorflow as tf
from small_models import Recorder
from small_models import fit
from small_models import make_classifier
from small_models import make_labelled
from small_models import weights_of

from keras_jest import ClassAct
from keras_jest import IndependentSelection
from keras_jest.callbacks import SelectionLog

X, Y, _ = make_labelled(40)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
PARTS = ("learner", "online", "reference")
RATES = {"optimizer": 0.1, "online_optimizer": 0.2, "reference_optimizer": 0.3}


def make():
    model = ClassAct(
        make_classifier(),
        make_classifier(2.0),
        make_classifier(1.0),
        train_reference=True,
        seed=3,
    )
    optimizers = {name: keras.optimizers.SGD(RATES[name]) for name in RATES}
    policy = IndependentSelection(sub_batch_size=5)
    model.compile(loss=LOSS, selection=policy, **optimizers)
    return model


def all_weights(model):
    return {part: weights_of(getattr(model, part)) for part in PARTS}


def by_hand():
    """What one replica makes of each half, step by step; then the mean."""
    model = make()
    for step in range(2):
        before, found = all_weights(model), []
        for half in range(2):
            set_weights(model, before)
            model.draws.assign(step)
            rows = slice(20 * step + 10 * half, 20 * step + 10 * half + 10)
            fit(model, X[rows], y=Y[rows], batch_size=10)
            found.append(all_weights(model))
        mean = {
            part: [
                np.mean(pair, axis=0)
                for pair in zip(*(of[part] for of in found), strict=True)
            ]
            for part in PARTS
        }
        set_weights(model, mean)
    return mean


def set_weights(model, weights):
    for part in PARTS:
        getattr(model, part).set_weights(weights[part])


def error_of_log(model):
    log = SelectionLog("picks.parquet")
    try:
        fit(model, X, y=Y, callbacks=[log])
    except ValueError as error:
        return str(error)


def main():
    devices = tf.config.list_physical_devices("CPU")
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(devices[0], two)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = make()
    recorder = Recorder(model)
    start = all_weights(model)
    fit(model, X, y=Y)
    weights, expected = all_weights(model), by_hand()
    result = {"num_steps": len(recorder.steps), "log": error_of_log(model)}
    for part in PARTS:
        result[part] = distance(weights[part], expected[part])
        result[f"{part}_moved"] = distance(weights[part], start[part])
    print(json.dumps(result))  # noqa: T201


def distance(first, second):
    pairs = zip(first, second, strict=True)
    return max(float(np.abs(one - other).max()) for one, other in pairs)


main()
