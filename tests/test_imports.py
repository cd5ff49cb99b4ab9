"""What an import loads, and which folder may import which."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[1]
LIST_MODULES = """
import sys
import {name}
names = {{module.partition(".")[0] for module in sys.modules}}
print("modules:", *sorted(names - set(sys.stdlib_module_names)))
"""


def modules_after_importing(name):
    """Top-level modules outside the standard library, in a fresh process."""
    program = LIST_MODULES.format(name=name)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(done.stdout.rpartition("modules:")[2].split())


def test_importing_the_library_loads_no_more_than_keras_does():
    extra = modules_after_importing("keras_jest") - {"keras_jest"}
    assert extra <= modules_after_importing("keras")


@pytest.mark.parametrize(
    ("installed", "advice"),
    [
        (["jax"], "Installed: ['jax']. Set KERAS_BACKEND=jax before"),
        ([], "KERAS_BACKEND=jax before Python starts, or in"),
    ],
)
def test_without_keras_own_backend_it_says_what_to_set(
    tmp_path, installed, advice
):
    """As with the JAX extra alone, and with nothing installed."""
    missing = {"jax", "tensorflow", "torch"} - set(installed)
    program = f"""
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: (
    None if name in {missing} else find(name))
for name in {missing}:
    sys.modules[name] = None
import keras_jest
"""
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    environment.pop("KERAS_BACKEND", None)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: Keras wants tensorflow, which is not")
    assert advice in last


@pytest.mark.once
def test_each_folder_imports_only_what_stands_below_it():
    lint_imports = shutil.which(
        "lint-imports", path=pathlib.Path(sys.executable).parent
    )
    if lint_imports is None:
        pytest.skip("import-linter is not installed")
    done = subprocess.run(
        [lint_imports, "--no-cache"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout
