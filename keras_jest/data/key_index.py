"""Keys in an order in which they are found quickly."""

import numpy as np

# Odd, so that no two keys become one.
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class KeyIndex:
    """Finds the rows of keys by binary search.

    A key of 128 bits is turned into two numbers of 64 bits, so that keys
    that differ anywhere nearly always differ in the first, by which they are
    sorted.

    Args:
        first: uint64 array of shape `(n,)`, ascending.
        second: uint64 array of shape `(n,)`, ascending where `first` is
            equal.
        rows: int64 array of shape `(n,)`: the row of each key.
    """

    COLUMNS = ("first", "second", "rows")

    def __init__(self, first, second, rows):
        self.first, self.second, self.rows = first, second, rows

    @classmethod
    def from_keys(cls, keys):
        """Sort keys: int32 of shape `(n, 4)`, one a row."""
        first, second = as_numbers(keys)
        rows = np.lexsort((second, first))
        return cls(first[rows], second[rows], rows.astype("int64"))

    def __len__(self):
        return len(self.rows)

    def find(self, keys):
        """Find keys, int32 of shape `(m, 4)`.

        Returns:
            int64 array of shape `(m,)`, the row of each; -1 is not there.
        """
        first, second = as_numbers(keys)
        order = np.argsort(first)  # Neighbours are searched for in turn.
        places = np.empty(len(keys), "int64")
        places[order] = np.searchsorted(self.first, first[order])
        rows = np.full(len(keys), -1, "int64")
        left = np.arange(len(keys))
        while len(left):  # Again only where `first` stands for several keys.
            left = left[places[left] < len(self)]
            left = left[self.first[places[left]] == first[left]]
            hit = self.second[places[left]] == second[left]
            rows[left[hit]] = self.rows[places[left[hit]]]
            left = left[~hit]
            places[left] += 1
        return rows

    def duplicates(self):
        """Pairs of rows that have one key: int64 of shape `(m, 2)`.

        A key that is there three times is in two of them.
        """
        equal = (self.first[1:] == self.first[:-1]) & (
            self.second[1:] == self.second[:-1]
        )
        places = np.flatnonzero(equal)
        pairs = np.stack([self.rows[places], self.rows[places + 1]], axis=1)
        return np.sort(pairs, axis=1)


def as_numbers(keys):
    """Turn each key into two numbers, of which the first is well mixed."""
    if np.ndim(keys) != 2 or np.shape(keys)[1] != 4:
        raise ValueError(
            "Expected keys of shape (n, 4), as `record_key` makes them. "
            f"Received: shape {np.shape(keys)}"
        )
    halves = np.ascontiguousarray(keys, "<i4").view("<u8")
    first, second = halves[:, 0], halves[:, 1]
    return first * MULTIPLIER + second, second.copy()
