"""What a run has written stays, whatever happens to it or to the disk."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from log_writer import KEYS
from log_writer import SETTINGS
from log_writer import STEPS
from log_writer import as_lists
from log_writer import columns_of
from log_writer import write

from keras_jest.data import export_subset
from keras_jest.data import recorded_rows
from keras_jest.data import recorded_settings
from keras_jest.data import unfinished_log
from keras_jest.data.record_key import keys_to_hex
from keras_jest.data.unfinished_log import UnfinishedLog

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.once


@settings(max_examples=60, deadline=None)
@given(
    STEPS, st.integers(1, 5), st.integers(1, 5), st.integers(1, 12), st.data()
)
def test_a_log_that_was_cut_goes_on(
    tmp_path_factory, steps, steps_at_a_time, then_at_a_time, draws, data
):
    """From any saved step that it holds, whatever its end has become."""
    path = tmp_path_factory.mktemp("log") / "log"
    write(path, steps, steps_at_a_time).close()
    unfinished = f"{path}.unfinished"
    tail = data.draw(st.binary(max_size=9))
    with open(unfinished, "ab") as file:
        file.write(tail)
    log = UnfinishedLog(str(path), {**SETTINGS, "first_draw": draws}, 99)
    assert log.goes_on == (draws <= len(steps))
    if not log.goes_on:
        return
    assert log.next_step == draws
    for start in range(draws, len(steps), then_at_a_time):
        some = steps[start : start + then_at_a_time]
        log.append(columns_of(some, start))
    log.complete()
    assert as_lists(recorded_rows(path, KEYS)) == steps
    assert recorded_settings(path) == SETTINGS
    assert os.listdir(path.parent) == ["log"]


class FullDisk:
    """A file that takes so many bytes more, and then no other."""

    def __init__(self, file, space):
        self.file, self.space = file, space

    def write(self, data):
        if not self.space:
            raise OSError("no space left")
        written = self.file.write(data[: self.space])
        self.space -= written
        return written

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_full_disk(tmp_path):
    """The steps before are there, and the failed ones when there is space."""
    steps = [[step, step + 1] for step in range(9)]
    log = write(tmp_path / "log", steps[:4], 2)
    file = log._file
    log._file = FullDisk(file, 100)
    columns = columns_of(steps[4:], 4)
    with pytest.raises(OSError, match="no space left"):
        log.append(columns)
    with pytest.warns(UserWarning, match="first 4 steps are whole"):
        rows = recorded_rows(tmp_path / "log.unfinished", KEYS)
    assert as_lists(rows) == steps[:4]
    log._file = file
    log.append(columns)
    log.complete()
    assert as_lists(recorded_rows(tmp_path / "log", KEYS)) == steps


def test_no_space_for_the_complete_file(tmp_path, monkeypatch):
    """Both the older one and the unfinished one stay."""

    def no_space(_):
        raise OSError("no space left")

    path = tmp_path / "log"
    path.write_bytes(b"older")
    log = write(path, [[1, 2]], 1)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", no_space)
        with pytest.raises(OSError, match="no space left"):
            log.complete()
    assert path.read_bytes() == b"older"
    assert as_lists(recorded_rows(f"{path}.unfinished", KEYS)) == [[1, 2]]
    log.complete()
    assert as_lists(recorded_rows(path, KEYS)) == [[1, 2]]


def test_a_log_that_is_damaged_is_not_completed(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"older")
    log = write(path, [[1, 2], [3, 4]], 1)
    os.truncate(f"{path}.unfinished", os.path.getsize(f"{path}.unfinished") - 9)
    with pytest.raises(ValueError, match="Expected to"):
        log.complete()
    assert path.read_bytes() == b"older"
    assert os.path.exists(f"{path}.unfinished")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"seed": 4, "first_draw": 2}, "differ in: seed"),
        ({"seed": 3, "first_draw": 2, "more": 1}, "differ in: more"),
        ({"seed": 3, "first_draw": 0}, "goes on at draw 0"),
        ({"seed": 3, "first_draw": 4}, "holds 3 steps.*goes on at draw 4"),
    ],
)
def test_the_log_of_another_run_is_kept(tmp_path, settings, reason):
    path = tmp_path / "log"
    for number in (1, 2):
        write(path, [[1, 2], [3], [number]], 1).close()
        log = UnfinishedLog(str(path), settings, 7)
        assert not log.goes_on and log.next_step == 7
        with pytest.warns(UserWarning, match=reason):
            log.append(columns_of([[5]], 7))
        kept = recorded_rows(f"{path}.unfinished.{number}", KEYS)
        assert as_lists(kept) == [[1, 2], [3], [number]]
        log.complete()
    assert as_lists(recorded_rows(path, KEYS)) == [[5]]


def test_what_cannot_be_read_is_kept(tmp_path):
    path = tmp_path / "log.unfinished"
    path.write_bytes(b"PAR1 without an end")
    log = UnfinishedLog(str(tmp_path / "log"), SETTINGS, 0)
    with pytest.warns(UserWarning, match="No step could be read"):
        log.append(columns_of([[5]]))
    assert (tmp_path / "log.unfinished.1").read_bytes().startswith(b"PAR1")


def test_other_columns_are_another_run(tmp_path):
    write(tmp_path / "log", [[1, 2], [3]], 1).close()
    settings = {**SETTINGS, "first_draw": 2}
    log = UnfinishedLog(str(tmp_path / "log"), settings, 0)
    columns = columns_of([[4]], 2)
    del columns["key"]
    with pytest.warns(UserWarning, match="other columns"):
        log.append(columns)
    log.complete()
    assert recorded_settings(tmp_path / "log") == settings


def test_what_only_some_steps_keep_is_null_in_others(tmp_path):
    """A log that goes on with more columns, and then with fewer."""
    path = tmp_path / "log"
    parts = [[[1, 2], [3]], [[4]], [[5, 6]]]
    for number, steps in enumerate(parts):
        settings = {**SETTINGS, "first_draw": (0, 2, 3)[number]}
        log = UnfinishedLog(str(path), settings, 0)
        columns = columns_of(steps, log.next_step)
        if number != 1:
            del columns["key"]
        log.append(columns)
        log.complete()
    table = parquet.read_table(path)
    assert table["row"].to_pylist() == [1, 2, 3, 4, 5, 6]
    keys = [None, None, None, *keys_to_hex(KEYS[4:5]), None, None]
    assert table["key"].to_pylist() == keys
    assert recorded_settings(path) == SETTINGS
    for read in (recorded_rows, export_subset):
        with pytest.raises(ValueError, match="'key', in every step"):
            read(path, KEYS)


def test_a_log_of_later_steps_is_not_followed(tmp_path):
    """A run of equal settings began with draws that this log has not."""
    path = tmp_path / "log"
    log = UnfinishedLog(str(path), {**SETTINGS, "first_draw": 3}, 3)
    log.append(columns_of([[1], [2], [3]], 3))
    log.complete()
    log = UnfinishedLog(str(path), SETTINGS, 5)
    assert not log.follows and log.next_step == 5
    log.append(columns_of([[4], [5]], 5))
    log.complete()
    assert as_lists(recorded_rows(path, KEYS)) == [[4], [5]]


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "ab")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such lock")
def test_two_processes_do_not_write_to_one_log(tmp_path):
    path = tmp_path / "log"
    late = UnfinishedLog(str(path), SETTINGS, 0)
    write(path, [[1, 2]], 1).close()
    before = os.path.getsize(f"{path}.unfinished")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, f"{path}.unfinished"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="Another process is writing"):
            UnfinishedLog(str(path), SETTINGS, 0)
        with pytest.raises(ValueError, match="Another process is writing"):
            late.append(columns_of([[5]]))
        holder.kill()
    assert os.path.getsize(f"{path}.unfinished") == before
    UnfinishedLog(str(path), SETTINGS, 0)


def test_small_tables_are_joined_and_large_ones_not_held(monkeypatch):
    monkeypatch.setattr(unfinished_log, "ROWS_PER_GROUP", 10)
    made = []

    def tables():
        for size in (3, 3, 3, 3, 25, 1):
            made.append(size)
            yield pyarrow.table({"step": np.zeros(size, "int32")})

    sizes = []
    for table in unfinished_log.in_groups(tables()):
        sizes.append((len(table), len(made)))
    assert sizes == [(12, 4), (25, 5), (1, 6)]


def test_a_message_is_what_a_stream_holds():
    """Appended messages are, byte for byte, what one writer would write."""
    schema = pyarrow.schema({"step": pyarrow.int32()}, {"a": "b"})
    batches = [
        pyarrow.record_batch([np.full(3, step, "int32")], schema=schema)
        for step in range(3)
    ]
    whole = io.BytesIO()
    options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
    writer = pyarrow.ipc.new_stream(whole, schema, options=options)
    for batch in batches:
        sums = unfinished_log.checksums(batch)
        writer.write_batch(batch, custom_metadata=sums)
    messages = [
        unfinished_log.as_message(batch, number == 0)
        for number, batch in enumerate(batches)
    ]
    assert b"".join(messages) == whole.getvalue()


def test_checksums_are_of_all_values():
    """Of binary values and of lists, too, of which some are null."""
    arrays = {
        "binary": [b"abc", None, b"d"],
        "list": [[1, 2], None, [3]],
        "string": ["abc", "", "d"],
    }
    others = {
        "binary": [b"abc", None, b"e"],
        "list": [[1, 2], None, [4]],
        "string": ["abc", "", "e"],
    }
    types = {
        "binary": pyarrow.binary(),
        "list": pyarrow.list_(pyarrow.int32()),
        "string": pyarrow.string(),
    }
    one, again, other = (
        unfinished_log.checksums(
            pyarrow.record_batch(
                {name: pyarrow.array(of, types[name]) for name, of in some}
            )
        )
        for some in (arrays.items(), arrays.items(), others.items())
    )
    assert one == again
    assert not any(one[name] == other[name] for name in one)
