"""Names of types that several public signatures have in common."""

import os
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Protocol
from typing import TypeAlias

# An array of NumPy or a tensor of a backend, symbolic or not: to name their
# classes would be to import every backend.
Tensor: TypeAlias = Any

# What an image-text model returns: see `keras_jest.models.make_pairs`.
Pairs: TypeAlias = dict[str, Tensor]

# The first axis is `None`: batches have any size.
Shape: TypeAlias = Sequence[int | None]

StrPath: TypeAlias = str | os.PathLike[str]

# The second argument of Keras' callbacks.
Logs: TypeAlias = dict[str, Any] | None

# Captions in, rows of token ids of one length out.
TokenizerLike: TypeAlias = Callable[..., Any]


class Records(Protocol):
    """A sequence of records, such as `TarShards` or a list of dicts."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Mapping[str, Any]: ...
