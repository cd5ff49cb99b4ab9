"""The columns of a super-batch that a policy reads beside losses."""

import contextlib

from keras_jest.models.units import on_host

KEPT_BACK = ("key",)


def columns_of(policy, x):
    """What a policy reads of the inputs of a super-batch: a dict of them.

    Args:
        policy: a policy, or `None`.
        x: the inputs of `n` examples.

    Raises:
        ValueError: if the inputs lack a column.
    """
    check_presence(policy, x)
    return {name: x[name] for name in named_by(policy)}


def named_by(policy):
    """The names of the columns that a policy reads: a tuple."""
    return tuple(getattr(policy, "columns", ()))


def check_names(policy):
    """Raise unless a policy names columns that it may read."""
    names = getattr(policy, "columns", ())
    are_names = not isinstance(names, str) and all(
        isinstance(name, str) for name in names
    )
    if not are_names:
        raise ValueError(
            f"`columns` of {type(policy).__name__} must be a tuple of names, "
            f"such as ('concepts',). Received: columns={names!r}"
        )
    kept_back = [name for name in names if name in KEPT_BACK]
    if kept_back:
        raise ValueError(
            "A policy sees no keys: what it picks must depend on what rows "
            "are, not on which they are, or the same rows under other names "
            f"would be others. Received: {type(policy).__name__} with columns="
            f"{tuple(names)}. Give it a column of another name."
        )


def check_presence(policy, x):
    """Raise if a batch lacks what a policy reads."""
    names = named_by(policy)
    if names and not isinstance(x, dict):
        raise ValueError(
            f"{type(policy).__name__} reads the columns {list(names)}, so "
            "batches must be dicts that hold them. Received: inputs of type "
            f"{type(x).__name__}. Yield dicts of arrays by their names."
        )
    missing = [name for name in names if name not in x]
    if missing:
        raise ValueError(
            f"{type(policy).__name__} reads the columns {list(names)}. "
            f"Received: a batch with the keys {sorted(x)}, which lacks "
            f"{missing}. Let the dataset yield them, one row per example: "
            "`super_batches(..., columns=...)` takes arrays with a row for "
            "each record."
        )


def check_first_columns(policy, x):
    """Raise if the first batch of a run does not suit a policy.

    Args:
        policy: a policy, or `None`.
        x: the inputs of the batch.
    """
    columns = columns_of(policy, x)
    columns = {name: on_host(of) for name, of in columns.items()}
    getattr(policy, "check_columns", ignore)(**columns)


def check_steps(policy):
    """Raise for what a policy found in the columns of steps that were made."""
    getattr(policy, "check_steps", ignore)()


def forget_steps(policy):
    """Let a policy forget what it found in steps of an earlier run."""
    with contextlib.suppress(ValueError):  # It tells of a fault once.
        check_steps(policy)


def ignore(**columns):
    """What a policy without such a method does."""
    del columns
