"""Ray's actors build a store: two of them, on this machine."""

import os
import pathlib
import pickle
import signal

import keras
import numpy as np
import pytest
from store_pool import RECORDS
from store_pool import make_dying_once
from store_pool import make_of_records
from store_pool import of_records
from store_pool import parts_of

from keras_jest.data.store_parts import part_name
from keras_jest.models import build_store
from keras_jest.models.store_job import StoreJob
from keras_jest.models.store_lock import only_builder
from keras_jest.models.store_ray import PartActor
from keras_jest.models.store_ray import with_backend

pytestmark = pytest.mark.once
HERE = pathlib.Path(__file__).parent
NO_RAY = "ray is not installed, so that stores by Ray are not tested"


def build(path, reference, **arguments):
    arguments = {"batch_size": 2, "part_size": 3, "verbose": 0, **arguments}
    return build_store(path, reference, RECORDS, **arguments)


@pytest.fixture
def two_cpus(tmp_path, monkeypatch):
    """A Ray of two CPUs, started and stopped here."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray = pytest.importorskip("ray", reason=NO_RAY)
    pytest.importorskip("ray.data", reason=NO_RAY)
    backend = keras.backend.backend()
    variables = {
        # Of another backend, as a machine may be set up.
        "KERAS_BACKEND": "jax" if backend == "torch" else "torch",
        "PYTHONPATH": os.pathsep.join(map(str, (HERE.parents[1], HERE))),
        "STORE_POOL_BACKEND": backend,
        "STORE_POOL_DIES_AT": str(tmp_path / "died"),
    }
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=80 * 2**20,
        runtime_env={"env_vars": variables},
    )
    yield ray
    ray.shutdown()
    # Ray leaves one behind that ends with another status than a shell's.
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.slow
def test_two_actors_of_which_one_is_killed_make_what_one_process_does(
    tmp_path, two_cpus
):
    build(tmp_path / "whole", of_records)
    whole = parts_of(tmp_path / "whole")
    path = tmp_path / "store"
    path.mkdir()
    # Of a build that was stopped, by whatever executor.
    (path / part_name(2)).write_bytes(whole[part_name(2)])
    time_of_part = (path / part_name(2)).stat().st_mtime_ns
    shows_bars = two_cpus.data.DataContext.get_current().enable_progress_bars
    store = build(path, make_dying_once, num_workers=2, executor="ray")
    assert (tmp_path / "died").exists()
    assert parts_of(path) == whole
    assert (path / part_name(2)).stat().st_mtime_ns == time_of_part
    assert len(store) == len(RECORDS)
    context = two_cpus.data.DataContext.get_current()
    assert context.enable_progress_bars == shows_bars


def test_an_actor_returns_what_was_raised_in_it(tmp_path):
    store = build(tmp_path / "store", of_records)
    bad = [*RECORDS[:8], {**RECORDS[8], "image": b"no picture"}, *RECORDS[9:]]
    with only_builder(tmp_path) as token:
        job = StoreJob(
            path=str(tmp_path),
            reference=make_of_records,
            reference_name=None,
            records=bad,
            tokenizer=None,
            image_size=None,
            batch_size=2,
            metadata=store.metadata,
            token=token,
        )
        actor = PartActor(job, store.metadata)
        assert actor({"part": np.array([1])})["error"].tolist() == [b""]
        (error,) = actor({"part": np.array([2])})["error"]
    error = pickle.loads(error)
    assert isinstance(error, ValueError)
    assert "cannot be decoded" in str(error)
    assert [*parts_of(tmp_path)] == [part_name(1)]


def test_what_a_user_asks_for_an_actor_is_kept():
    variables = {"KERAS_BACKEND": keras.backend.backend(), "A": "1"}
    environment = {"pip": ["open_clip"], "env_vars": {"A": "1"}}
    options = with_backend({"num_gpus": 1, "runtime_env": environment})
    assert options == {
        "num_gpus": 1,
        "runtime_env": {"pip": ["open_clip"], "env_vars": variables},
    }
