"""Shared fixtures: seeds, and the data beside the project."""

import os
import pathlib

# Most tests compile a program, run it once, and forget it. JAX has a name for
# what TensorFlow must ask XLA for.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if os.environ.get("KERAS_BACKEND") == "tensorflow":
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_backend_optimization_level=0 "
        "--xla_llvm_disable_expensive_passes=true",
    )

import keras
import pytest

SHARED_DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="session")
def compilation_cache(tmp_path_factory):
    """JAX compiles a program once, whichever process it is in."""
    if keras.backend.backend() != "jax":
        return
    import jax

    base = tmp_path_factory.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    settings = {
        "jax_compilation_cache_dir": str(run / "jax"),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": 0,
    }
    for name, value in settings.items():
        jax.config.update(name, value)


@pytest.fixture
def shared_data():
    """The folder with pictograms, the noisy pool and the broken shards."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is not here: tests on it are skipped")
    return SHARED_DATA
