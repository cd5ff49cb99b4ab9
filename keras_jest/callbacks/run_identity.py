"""What must be the same for a run to go on."""

import json

import keras

from keras_jest.version import __version__

# What a state brings along itself.
RESTORED = ("seed", "first_draw")


def run_identity(model, data):
    """Tell which run it is, apart from how far it has come.

    Args:
        model: a `SelectingModel`.
        data: `PositionedDataset`.

    Returns:
        A dict of what JSON has, as it comes back from a file.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    settings = model.get_selection_settings()
    identity = {
        "keras_jest": __version__,
        "optimizer": type(optimizer).__name__,
        "dtype": model.learner.dtype_policy.name,
        "data": data.fingerprint(),
        **{name: settings[name] for name in settings if name not in RESTORED},
    }
    return json.loads(json.dumps(identity))


def check_identity(saved, present):
    """Raise, naming what differs, unless both say the same."""
    saved, present = flat(saved), flat(present)
    names = [*saved, *(name for name in present if name not in saved)]
    differ = [name for name in names if saved.get(name) != present.get(name)]
    if differ:
        expected = {name: saved.get(name) for name in differ}
        received = {name: present.get(name) for name in differ}
        raise ValueError(
            "The saved state is that of another run, which cannot go on as "
            "this one. Set what differs as it was, or name another "
            "`backup_dir` to begin anew. "
            f"Expected: {expected}. Received: {received}"
        )


def flat(identity):
    """Names with dots in the place of dicts within dicts."""
    items = keras.tree.flatten_with_path(identity)
    return {".".join(map(str, path)): value for path, value in items}
