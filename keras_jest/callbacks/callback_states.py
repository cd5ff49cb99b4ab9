"""What other callbacks know of a run, to be kept with its state."""

import warnings

import keras

# The attributes of Keras' own that change while they watch a run.
ATTRIBUTES = {
    "EarlyStopping": (
        "wait",
        "stopped_epoch",
        "best",
        "best_weights",
        "best_epoch",
    ),
    "ReduceLROnPlateau": ("wait", "cooldown_counter", "best"),
    "ModelCheckpoint": (
        "best",
        "_current_epoch",
        "_batches_seen_since_last_saving",
        "_last_batch_seen",
    ),
    "SwapEMAWeights": ("_ema_weights_in_model",),
    "History": ("epoch", "history"),
}
STATELESS = (
    "LearningRateScheduler",
    "TerminateOnNaN",
    "ProgbarLogger",
    "LambdaCallback",
    "RemoteMonitor",
    "CSVLogger",
)


def callback_states(callbacks):
    """What is to be kept of callbacks, in their order.

    Those of your own are kept if they have `get_state` and `set_state`, as
    grain's iterators do: a dict of JSON and arrays.

    Args:
        callbacks: list of Keras callbacks.

    Returns:
        A list of dicts with `name` and `state`, `None` where nothing is kept.
    """
    return [
        {"name": type(of).__name__, "state": state_of(of)} for of in callbacks
    ]


def state_of(callback):
    if hasattr(callback, "get_state"):
        return callback.get_state()
    names = kept_attributes(callback)
    return {name: getattr(callback, name, None) for name in names} or None


def restore_callbacks(callbacks, states):
    """Give callbacks what was kept of them; warn of those that begin anew.

    Args:
        callbacks: list of Keras callbacks, as in the run that was stopped.
        states: what `callback_states` returned.
    """
    saved = [(of["name"], of["state"]) for of in states]
    stateless = tuple(getattr(keras.callbacks, of) for of in STATELESS)
    begin_anew = []
    for callback in callbacks:
        name = type(callback).__name__
        # Of two of a kind the first had the first state.
        at = next((row for row, of in enumerate(saved) if of[0] == name), None)
        state = None if at is None else saved.pop(at)[1]
        if state is not None:
            restore(callback, state)
        elif not isinstance(callback, stateless):
            begin_anew.append(name)
    if begin_anew:
        warnings.warn(
            "The run goes on, but these callbacks begin anew: their state was "
            "not kept, since they were not there or have no `get_state` and "
            f"`set_state`. Received: {begin_anew}",
            stacklevel=2,
        )


def restore(callback, state):
    if hasattr(callback, "set_state"):
        callback.set_state(state)
    else:
        for name, value in state.items():
            setattr(callback, name, value)


def kept_attributes(callback):
    for kind, names in ATTRIBUTES.items():
        if isinstance(callback, getattr(keras.callbacks, kind)):
            return names
    return ()
