"""Worker processes, which are slow to begin: few tests of many things."""

import collections
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import keras
import pytest
from store_pool import RECORDS
from store_pool import make_dying
from store_pool import make_dying_once
from store_pool import make_of_records
from store_pool import of_records
from store_pool import parts_of

from keras_jest.data.store_parts import part_name
from keras_jest.models import build_store
from keras_jest.models.store_workers import StoreWorkers
from keras_jest.models.store_workers import Worker

pytestmark = pytest.mark.once
HERE = pathlib.Path(__file__).parent

KILLED = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
import store_pool
from keras_jest.models import build_store
if __name__ == "__main__":
    build_store(
        sys.argv[1],
        store_pool.make_slowly,
        store_pool.RECORDS,
        batch_size=2,
        part_size=3,
        num_workers=1,
    )
"""


def build(path, reference, records=RECORDS, **arguments):
    arguments = {"batch_size": 2, "part_size": 3, "verbose": 0, **arguments}
    return build_store(path, reference, records, **arguments)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    build(path, of_records)
    return parts_of(path)


@pytest.mark.slow
def test_another_worker_makes_the_part_of_one_that_died(
    tmp_path, whole, monkeypatch
):
    """And workers have the backend of their parent, not the environment's."""
    backend = keras.backend.backend()
    other = "jax" if backend == "torch" else "torch"
    monkeypatch.setenv("KERAS_BACKEND", other)
    monkeypatch.setenv("STORE_POOL_BACKEND", backend)
    monkeypatch.setenv("STORE_POOL_DIES_AT", str(tmp_path / "died"))
    with pytest.warns(UserWarning, match=r"exit code -9, at part \d.* died"):
        build(tmp_path / "store", make_dying_once, num_workers=2)
    assert (tmp_path / "died").exists()
    assert parts_of(tmp_path / "store") == whole
    assert os.environ["KERAS_BACKEND"] == other


@pytest.mark.slow
def test_the_last_worker_that_dies_ends_the_build(tmp_path, whole):
    with pytest.raises(RuntimeError, match=r"Worker 0 .*exit code -9.* died"):
        build(tmp_path, make_dying, num_workers=1)
    # The lock is free, and nobody writes.
    build(tmp_path, of_records)
    assert parts_of(tmp_path) == whole


@pytest.mark.slow
def test_what_a_worker_raises_is_raised(tmp_path):
    bad = [*RECORDS[:8], {**RECORDS[8], "image": b"no picture"}, *RECORDS[9:]]
    with pytest.raises(ValueError, match="cannot be decoded") as error:
        build(tmp_path, make_of_records, bad, num_workers=1)
    assert any("Worker 0" in note for note in error.value.__notes__)


@pytest.mark.slow
def test_workers_end_with_a_builder_that_is_killed(tmp_path, whole):
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    store = tmp_path / "store"
    pids = tmp_path / "pid"
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE.parents[1]),
        "STORE_POOL_PID": str(pids),
    }
    command = [sys.executable, str(script), str(store)]
    with subprocess.Popen(command, env=environment) as process:
        while not (store / part_name(1)).exists():
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while is_running(pids.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert parts_of(store).items() < whole.items()
    build(store, of_records)
    assert parts_of(store) == whole


def is_running(pid):
    """Whether there is a process that is more than its exit code."""
    try:
        stat = pathlib.Path("/proc", pid, "stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_notebook_has_no_functions_for_workers(tmp_path, monkeypatch):
    def make():
        raise AssertionError("it was run")

    notebook = types.ModuleType("__main__")
    notebook.make = make
    make.__module__, make.__qualname__ = "__main__", "make"
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    with pytest.raises(ValueError, match="A notebook has none.*reference="):
        build(tmp_path, make, num_workers=1)


def test_an_idle_worker_is_given_the_last_part_of_one_that_died():
    """It would never report, and the build would wait for it for ever."""

    def worker(name):
        one = Worker.__new__(Worker)
        one.connection, other = multiprocessing.Pipe()
        one.name, one.number, one.is_ready = name, None, True
        one.process = types.SimpleNamespace(
            join=lambda: None, pid=0, exitcode=-9
        )
        return one, other

    (dies, its_end), (idle, other_end) = worker(0), worker(1)
    workers = StoreWorkers.__new__(StoreWorkers)
    workers.workers = [dies, idle]
    other_end.send(("part", 0))
    idle.give(0, {})
    dies.give(1, {})
    waiting = collections.deque()
    assert workers.next_report(waiting) == (idle, 0)
    idle.number = None
    its_end.close()
    with pytest.warns(UserWarning, match="Worker 0 .* died"):
        assert workers.next_report(waiting) == (dies, None)
    other_end.send(("part", 1))
    assert [*workers.make_parts(waiting, {})] == [1]
    assert [other_end.recv()[0] for _ in range(2)] == [0, 1]
