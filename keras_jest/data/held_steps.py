"""Which steps of which run a log holds."""

import contextlib
import json
from typing import NamedTuple

import numpy as np

from keras_jest.data.open_log import SETTINGS
from keras_jest.data.open_log import DamagedLog
from keras_jest.data.open_log import open_log


class HeldSteps(NamedTuple):
    settings: dict
    columns: list
    first_step: int
    num_steps: int


def held_steps(path):
    """What an unfinished log holds, or `None` if it holds nothing."""
    first = last = None
    try:
        with open_log(path, ["step"]) as (schema, tables):
            settings = json.loads(schema.metadata[SETTINGS])
            with contextlib.suppress(DamagedLog):
                for table in tables:
                    first = table["step"][0].as_py() if first is None else first
                    last = table["step"][-1].as_py()
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if first is None:
        return None
    return HeldSteps(settings, schema.names, first, last - first + 1)


def steps_before(held, settings):
    """How many steps of a log the model has behind it, 0 if not all."""
    if held is None or differing(held.settings, settings):
        return 0
    num_steps = settings["first_draw"] - held.settings["first_draw"]
    return num_steps if 0 <= num_steps <= held.num_steps else 0


def differing(one, other):
    names = sorted((one.keys() | other.keys()) - {"first_draw"})
    return [name for name in names if one.get(name) != other.get(name)]


def why_another(held, settings, columns):
    if held is None:
        return "No step could be read from it."
    names = differing(held.settings, settings)
    if names:
        return f"The two runs differ in: {', '.join(names)}."
    if columns != held.columns:
        return f"It has other columns: {held.columns}, not {columns}."
    return (
        f"It holds {held.num_steps} steps, drawn from draw "
        f"{held.settings['first_draw']} on, and this run goes on at draw "
        f"{settings['first_draw']}. To go on in a log, its last step must be "
        "on disk when the model is saved: see `steps_at_a_time`."
    )


def tables_before(tables, step):
    """The rows of tables that belong to steps before one."""
    for table in tables:
        num_rows = np.searchsorted(table["step"], step)
        if not num_rows:
            break
        yield table.slice(0, num_rows)
