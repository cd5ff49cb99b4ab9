"""A log is read as far as it is whole, and no step is read in half."""

import pathlib
import random
import tempfile
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from log_writer import KEYS
from log_writer import SETTINGS
from log_writer import STEPS
from log_writer import as_lists
from log_writer import write

from keras_jest.data import Replay
from keras_jest.data import export_subset
from keras_jest.data import recorded_rows
from keras_jest.data import recorded_settings

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.once


def read(path):
    """The steps that can be read, and whether a warning said: not all."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        try:
            steps = recorded_rows(path, KEYS)
        except ValueError as error:
            assert str(path) in str(error)
            return None, False
    return as_lists(steps), bool(record)


@settings(max_examples=200, deadline=None)
@given(
    STEPS,
    st.integers(1, 5),
    st.floats(0, 1),
    st.sampled_from(["nothing", "zeros", "noise"]),
    st.booleans(),
)
def test_what_is_read_is_a_prefix_of_whole_steps(
    steps, steps_at_a_time, place, tail, is_complete
):
    """Wherever a file is cut, and whatever follows."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "log")
        log = write(path, steps, steps_at_a_time)
        if is_complete:
            log.complete()
        log.close()
        path = path if is_complete else pathlib.Path(f"{path}.unfinished")
        assert read(path) == (steps, False)
        whole = path.read_bytes()
        cut = int(place * len(whole))
        size = random.Random(cut).randrange(1, 64)
        tails = {
            "nothing": b"",
            "zeros": bytes(size),
            "noise": random.Random(cut).randbytes(size),
        }
        path.write_bytes(whole[:cut] + tails[tail])
        if cut == len(whole) and tail == "nothing":
            return
        found, warned = read(path)
        if is_complete:
            # Parquet says at its end where all is.
            assert found is None
            return
        assert found is not None or cut < 800
        if found is None:
            return
        assert found == steps[: len(found)]
        assert len(found) % steps_at_a_time == 0 or found == steps
        # Where a batch ends nobody can tell that more had followed.
        assert warned or tail == "nothing"


@settings(max_examples=300, deadline=None)
@given(st.data(), st.booleans())
def test_a_changed_byte_is_told(data, is_complete):
    """Or it changed nothing that is read, as scores are not."""
    steps = [[step % 20, (7 * step) % 20] for step in range(40)]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "log")
        log = write(path, steps, 10)
        if is_complete:
            log.complete()
        log.close()
        path = path if is_complete else pathlib.Path(f"{path}.unfinished")
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        found, warned = read(path)
        if found is not None:
            assert found == steps[: len(found)]
            assert warned or found == steps


def test_damage_is_told_by_all_who_read(tmp_path):
    steps = [[step, step + 1] for step in range(9)]
    write(tmp_path / "log", steps, 2).close()
    path = tmp_path / "log.unfinished"
    path.write_bytes(path.read_bytes()[:-5])
    told = "first 8 steps are whole"
    assert recorded_settings(path) == SETTINGS
    with pytest.warns(UserWarning, match=told):
        assert as_lists(recorded_rows(path, KEYS)) == steps[:8]
    with pytest.warns(UserWarning, match=told):
        replay = Replay(path, {"key": KEYS, "x": np.arange(20)})
    assert len(replay) == 8
    with pytest.warns(UserWarning, match=told):
        assert len(export_subset(path, tmp_path / "subset.npy")) == 9


def test_a_page_of_parquet_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_jest.data.unfinished_log.ROWS_PER_GROUP", 4)
    steps = [[step, step + 1] for step in range(8)]
    path = tmp_path / "log"
    write(path, steps, 2).complete()
    content = bytearray(path.read_bytes())
    group = parquet.read_metadata(path).row_group(2)
    start = group.column(3).dictionary_page_offset
    content[start + 40 : start + 50] = bytes(10)
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="first 4 steps are whole"):
        assert as_lists(recorded_rows(path, KEYS)) == steps[:4]


def test_an_unfinished_log_is_read_by_its_own_name_only(tmp_path):
    path = tmp_path / "log.parquet"
    with pytest.raises(FileNotFoundError, match="no such log"):
        recorded_rows(path, KEYS)
    write(path, [[1, 2]], 1).close()
    with pytest.raises(FileNotFoundError, match=r"name .*parquet\.unfinished"):
        recorded_rows(path, KEYS)
    assert as_lists(recorded_rows(f"{path}.unfinished", KEYS)) == [[1, 2]]


def test_no_step_is_no_replay(tmp_path):
    write(tmp_path / "log", [[1, 2]], 1).close()
    path = tmp_path / "log.unfinished"
    path.write_bytes(path.read_bytes()[:-5])
    with (
        pytest.warns(UserWarning, match="first 0 steps"),
        pytest.raises(ValueError, match="no step"),
    ):
        Replay(path, {"key": KEYS, "x": np.arange(20)})
