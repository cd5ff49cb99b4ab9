"""Concept balance as the rule says it: row by row, in NumPy.

Values that are equal by the rule must be equal here where they are equal in
the library, or another row would be first. So gains are float32 numbers
rounded to 2**-20, as the library promises.
"""

import numpy as np
from numpy_listing import mix

UNITS = 2**20


def seeded_order(seed, num_rows):
    start = np.uint64(mix(int(seed) % 2**32))
    rows = np.arange(num_rows, dtype="uint64")
    bits = mix(((start + rows) % 2**32).astype("uint32")).astype("int32")
    return np.argsort(bits, kind="stable")


def sets_of(concepts, num_concepts):
    """What each row shows."""
    rows = np.reshape(concepts, (len(concepts), -1)).tolist()
    return [{of for of in row if 0 <= of < num_concepts} for row in rows]


def frequencies_of(sets, num_concepts):
    return np.array(
        [sum(c in row for row in sets) for c in range(num_concepts)]
    )


def targets_of(sets, counts, num_kept, weights):
    frequencies = frequencies_of(sets, len(counts))
    is_here = frequencies > 0
    added = np.round(frequencies.sum() * num_kept / len(sets))
    total = counts[is_here].sum() + added
    whole = max(weights[is_here].sum(), 1e-30)
    targets = np.round(weights * total / whole)
    return np.maximum(targets, weights > 0)


def gain_of(count, target, frequency):
    count, target, frequency = map(np.float32, (count, target, frequency))
    one, half = np.float32(1), np.float32(0.5)
    if count < target:
        gain = (target - count) / target + one / frequency
    else:
        gain = half * target / max(count, one) - one
    return round(float(gain) * UNITS)


def value_of(row, counts, targets, frequencies):
    gains = [gain_of(counts[c], targets[c], frequencies[c]) for c in row]
    return np.float32(sum(gains)) / np.float32(len(row)) if row else -np.inf


def first_best(values, rows):
    """The first of some rows with the best value."""
    return max(rows, key=values.get)


def greedy(concepts, counts, num_kept, weights, seed):
    """Picks one by one, and what was counted after them."""
    counts = np.array(counts)
    sets = sets_of(concepts, len(counts))
    frequencies = frequencies_of(sets, len(counts))
    targets = targets_of(sets, counts, num_kept, weights)
    left, picks = seeded_order(seed, len(sets)).tolist(), []
    for _ in range(num_kept):
        values = {
            row: value_of(sets[row], counts, targets, frequencies)
            for row in left
        }
        picks.append(first_best(values, left))
        left.remove(picks[-1])
        counts[list(sets[picks[-1]])] += 1
    return picks, counts


def in_rounds(concepts, counts, num_kept, weights, seed, num_chunks):
    """Picks by rounds: each row as if those ranked above it were picked."""
    counts = np.array(counts)
    sets = sets_of(concepts, len(counts))
    frequencies = frequencies_of(sets, len(counts))
    targets = targets_of(sets, counts, num_kept, weights)
    left, picks = seeded_order(seed, len(sets)).tolist(), []
    size = -(-num_kept // min(num_chunks, num_kept))
    while len(picks) < num_kept:
        first = {
            row: value_of(sets[row], counts, targets, frequencies)
            for row in left
        }
        seen, second, waiting = counts.copy(), {}, list(left)
        while waiting:
            row = first_best(first, waiting)
            second[row] = value_of(sets[row], seen, targets, frequencies)
            seen[list(sets[row])] += 1
            waiting.remove(row)
        waiting = list(left)
        for _ in range(min(size, num_kept - len(picks))):
            picks.append(first_best(second, waiting))
            waiting.remove(picks[-1])
            counts[list(sets[picks[-1]])] += 1
        left = waiting
    return picks, counts
