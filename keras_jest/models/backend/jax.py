"""The state of a model and an iterator, on JAX."""

import itertools

import jax.numpy as jnp

GROUPS = {
    4: ("trainable", "non_trainable", "optimizer", "metrics"),
    3: ("trainable", "non_trainable", "metrics"),
    2: ("trainable", "non_trainable"),
}


def first_batch(model, arguments):
    del model
    state, iterator = arguments
    batch = next(iterator)
    return batch, (state, itertools.chain([batch], iterator))


next_batch = first_batch


def hand_back(model, arguments):
    """Give a model its variables back: Keras has left them empty."""
    state, _ = arguments
    groups = zip(GROUPS[len(state)], state, strict=True)
    model._jax_state = {f"{group}_variables": of for group, of in groups}
    model.jax_state_sync()


def copied_values(model, arguments):
    """The variables of a step, each with a copy: the step takes the values."""
    trainable, non_trainable = arguments[0][:2]
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    values = [jnp.copy(value) for value in (*trainable, *non_trainable)]
    return list(zip(variables, values, strict=True))


def export(model, keras_export, *args, **kwargs):
    """Export as Keras does."""
    del model
    keras_export(*args, **kwargs)


def predict_batches(model, batches):
    inputs = ((batch,) for batch in batches)
    return model.predict(inputs, steps=len(batches), verbose=0)
