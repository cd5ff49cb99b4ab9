"""Selection and training in one XLA program, on JAX."""

import keras


def train_step(model, keras_step, state, data):
    trainable, non_trainable, optimizer, metrics = state
    values = [*trainable, *non_trainable, *metrics]
    others, counters = model.non_trainable_variables, model.metrics_variables
    variables = [*model.trainable_variables, *others, *counters]
    with keras.StatelessScope(zip(variables, values, strict=True)) as scope:
        sub_batch, chosen = model.select(data)
    non_trainable, metrics = (
        [scope.get_current_value(variable) for variable in group]
        for group in (others, counters)
    )
    state = (trainable, non_trainable, optimizer, metrics)
    logs, state = keras_step(state, sub_batch)
    return {**logs, "chosen": chosen}, state


def make_train_function(model, keras_make):
    keras_make(force=True)
    train_function = model.train_function
    groups = ("trainable", "non_trainable", "optimizer", "metrics")

    def train_and_report(state, iterator):
        model._jax_state = {  # What Keras puts back if this step fails.
            f"{group}_variables": values
            for group, values in zip(groups, state, strict=True)
        }
        logs, state = train_function(state, iterator)
        return model.report(logs), state

    return train_and_report
