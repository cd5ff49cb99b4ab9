"""Shared fixtures: seeds, and the data beside the project."""

import os
import pathlib

# Most tests compile a program, run it once, and forget it.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import keras
import pytest

SHARED_DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def shared_data():
    """The folder with pictograms, the noisy pool and the broken shards."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is not here: tests on it are skipped")
    return SHARED_DATA
