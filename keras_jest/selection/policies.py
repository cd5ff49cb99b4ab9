"""Policies by name, as `compile` and `fit` take them."""

import inspect
from collections.abc import Callable
from collections.abc import Collection
from typing import Protocol
from typing import TypeAlias

from keras_jest.selection.independent_selection import IndependentSelection
from keras_jest.selection.joint_selection import JointSelection
from keras_jest.selection.uniform_selection import UniformSelection
from keras_jest.types import Tensor

POLICIES = {
    "joint": JointSelection,
    "independent": IndependentSelection,
    "uniform": UniformSelection,
}


class Policy(Protocol):
    """A `SelectionPolicy`, or a layer with a memory that selects like one."""

    @property
    def needs(self) -> Collection[str]: ...

    def num_kept(self, num_rows: int, /) -> int: ...

    # Its columns are its own.
    @property
    def select(self) -> Callable[..., Tensor]: ...


PolicyLike: TypeAlias = str | Policy | None


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
