"""Policies by name, as `compile` and `fit` take them."""

import inspect

from keras_jest.selection.independent_selection import IndependentSelection
from keras_jest.selection.joint_selection import JointSelection
from keras_jest.selection.uniform_selection import UniformSelection

POLICIES = {
    "joint": JointSelection,
    "independent": IndependentSelection,
    "uniform": UniformSelection,
}


def get(selection):
    """The policy of a name with its defaults, a policy itself, or None."""
    if isinstance(selection, str) and selection in POLICIES:
        return POLICIES[selection]()
    if selection is None:
        return None
    needed = ("select", "num_kept", "needs")
    lacking = [name for name in needed if not hasattr(selection, name)]
    if inspect.isclass(selection) or lacking:
        raise ValueError(
            f"`selection` must be one of {sorted(POLICIES)}, a "
            "`keras_jest.SelectionPolicy`, or None for plain training. "
            f"Received: selection={selection!r}"
            + (f", which lacks {lacking}" if 0 < len(lacking) < 3 else "")
        )
    return selection
