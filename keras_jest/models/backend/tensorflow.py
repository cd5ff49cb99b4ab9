"""Iterators of batches, or lists of some, on TensorFlow."""

import itertools

import keras
import numpy as np
import tensorflow as tf


def first_batch(model, arguments):
    (batches,) = arguments
    if isinstance(batches, list):
        return of_one_replica(model, batches[0]), arguments
    first = [next(batches)]
    first += itertools.islice(batches, model.steps_per_execution - 1)
    again = iter(first)
    if isinstance(batches, tf.data.Iterator) and is_plain(batches):
        # Keras runs another program, to be compiled, over other iterators.
        dataset = tf.data.Dataset.from_generator(
            lambda: first, output_signature=batches.element_spec
        )
        again = iter(dataset)
    return of_one_replica(model, first[0]), (again,)


def next_batch(model, arguments):
    """As `first_batch`, of any step of a `SelectingModel`, which is cheap."""
    (batches,) = arguments
    batch = next(batches)
    return of_one_replica(model, batch), (itertools.chain([batch], batches),)


def hand_back(model, arguments):
    """Do nothing: Keras takes nothing from a model on TensorFlow."""


def copied_values(model, arguments):
    """The variables of a step, each with a copy of its value."""
    del arguments
    return [(of, tf.identity(of.value)) for of in model.variables]


def export(model, keras_export, *args, **kwargs):
    """Export as Keras does."""
    del model
    keras_export(*args, **kwargs)


def predict_batches(model, batches):
    """By the batch: to make a `tf.data` of a generator takes longer."""
    outputs = [model.predict_on_batch(batch) for batch in batches]
    return keras.tree.map_structure(
        lambda *arrays: np.concatenate(arrays), *outputs
    )


def is_plain(iterator):
    """Whether all that an iterator yields are tensors."""
    specs = tf.nest.flatten(iterator.element_spec)
    return all(isinstance(spec, tf.TensorSpec) for spec in specs)


def of_one_replica(model, batch):
    """What one replica, perhaps the only one, gets of a batch."""
    results = model.distribute_strategy.experimental_local_results
    return tf.nest.map_structure(lambda v: results(v)[0], batch)
