"""What is told of a sample that is left out."""

from typing import NamedTuple


class BadSample(NamedTuple):
    """A sample that is left out: why, and where it stands."""

    kind: str
    shard: str
    key: str
