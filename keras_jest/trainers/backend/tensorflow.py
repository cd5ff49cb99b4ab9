"""Selection and training in one graph for each batch size, on TensorFlow."""

import tensorflow as tf


def train_step(model, keras_step, data):
    sub_batch, chosen = model.select(data)
    return {**keras_step(sub_batch), "chosen": chosen}


def make_train_function(model, keras_make):
    # Batches are fetched on the host: within Keras' own loop their size is
    # unknown, and how many rows to keep with it.
    del keras_make
    strategy = model.distribute_strategy

    def step(data):
        return strategy.run(model.train_step, args=(data,))

    if not model.run_eagerly:
        options = {"jit_compile": model.jit_compile, "autograph": False}
        step = tf.function(step, **options)
    step = model._autoconvert_optionals(step)

    def train_and_report(iterator):
        logs = None
        steps = range(model.steps_per_execution)
        for _, data in zip(steps, iterator, strict=False):
            logs = step(data)
        if logs is None:
            raise StopIteration
        results = strategy.experimental_local_results
        logs = tf.nest.map_structure(lambda v: results(v)[0], logs)
        return model.report(logs)

    return train_and_report
