"""Models of legacy packages as references of every backend, by a store."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from keras_jest.data import ReferenceStore

pytestmark = [pytest.mark.once, pytest.mark.slow]
SCRIPT = pathlib.Path(__file__).with_name("run_foreign_reference.py")


@pytest.mark.parametrize("package", ["tf_keras", "keras_cv"])
def test_what_it_says_is_in_the_store(package, tmp_path):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    store, expected = tmp_path / "store", tmp_path / "expected.npz"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), package, str(store), str(expected)],
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    store = ReferenceStore(store)
    with np.load(expected) as arrays:
        got = store.take(arrays["key"])
        for side in ("image", "text"):
            rows = arrays[side] / np.linalg.norm(
                arrays[side], axis=1, keepdims=True
            )
            # Half of what float16 tells below 1, 2.4e-4, and 1e-6 of
            # float32's sums in batches of other sizes.
            np.testing.assert_allclose(
                got[f"reference_{side}_embedding"], rows, rtol=0, atol=2.5e-4
            )
    assert (store.logit_scale, store.logit_bias) == (20.0, -4.0)
    assert store.fingerprint["reference"] == package
