"""Selection and training in one XLA program, on JAX."""

import keras


def train_step(model, keras_step, state, data):
    trainable, non_trainable, optimizer, metrics = state
    values = [*trainable, *non_trainable, *metrics]
    others, counters = model.non_trainable_variables, model.metrics_variables
    variables = [*model.trainable_variables, *others, *counters]
    with keras.StatelessScope(zip(variables, values, strict=True)) as scope:
        sub_batch, chosen = model.select(data)
    non_trainable = [scope.get_current_value(of) for of in others]
    metrics = [scope.get_current_value(of) for of in counters]
    state = (trainable, non_trainable, optimizer, metrics)
    logs, state = keras_step(state, sub_batch)
    return {**logs, "chosen": chosen}, state


def make_train_function(model, keras_make):
    # `jax.jit` would take the program of an older, equal method.
    step = model.train_step
    model.train_step = lambda state, data: step(state, data)
    keras_make(force=True)
    del model.train_step
    run = model.train_function

    def train_and_report(state, iterator):
        model._jax_state = as_jax_state(state)  # In case that this step,
        logs, state = run(state, iterator)
        model._jax_state = as_jax_state(state)  # or the report of it fails.
        return model.report(logs), state

    return train_and_report


def as_jax_state(state):
    groups = ("trainable", "non_trainable", "optimizer", "metrics")
    values = zip(groups, state, strict=True)
    return {f"{group}_variables": of for group, of in values}
