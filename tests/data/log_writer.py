"""Writes logs for tests, of steps that are lists of rows of `KEYS`."""

import numpy as np
from hypothesis import strategies as st

from keras_jest.data import record_key
from keras_jest.data.record_key import keys_to_hex
from keras_jest.data.unfinished_log import UnfinishedLog

KEYS = np.stack([record_key(str(row)) for row in range(20)])
SETTINGS = {"seed": 3, "first_draw": 0}


def columns_of(steps, first_step=0):
    """The columns of steps, each a list of rows of `KEYS`."""
    rows = np.concatenate(steps)
    numbers = np.arange(first_step, first_step + len(steps), dtype="int32")
    return {
        "step": np.repeat(numbers, [len(step) for step in steps]),
        "row": rows.astype("int32"),
        "score": rows.astype("float32"),
        "key": keys_to_hex(KEYS[rows]),
    }


def write(path, steps, steps_at_a_time):
    log = UnfinishedLog(str(path), SETTINGS, 0)
    for start in range(0, len(steps), steps_at_a_time):
        some = steps[start : start + steps_at_a_time]
        log.append(columns_of(some, start))
    return log


def as_lists(steps):
    return [list(map(int, rows)) for rows in steps]


STEPS = st.lists(
    st.lists(st.integers(0, len(KEYS) - 1), min_size=1, max_size=4),
    min_size=1,
    max_size=12,
)
