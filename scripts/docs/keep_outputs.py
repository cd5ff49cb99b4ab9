"""Run guides and examples whose code has changed; keep what they show.

    KERAS_BACKEND=jax python scripts/docs/keep_outputs.py [SCRIPT ...]

With names those are run, whether their code has changed or not. Each runs in
a process and a folder of its own, with its own defaults.
"""

import argparse
import importlib.metadata
import multiprocessing
import os
import pathlib
import tempfile

from cells import read_script
from kept import ROOT
from kept import all_scripts
from kept import is_current
from kept import keep
from run_cells import run_cells

PACKAGES = ("keras", "jax", "tensorflow", "torch")


def keep_outputs(path):
    """Run one script in this process, and keep what its cells show."""
    script = read_script(ROOT / path)
    with tempfile.TemporaryDirectory() as folder:
        shown = run_cells(script, pathlib.Path(folder))
        os.chdir(ROOT)
    keep(path, script.code_hash, shown, made_with())


def made_with():
    """The versions of Keras and of its backend."""
    import keras

    names = ("keras", keras.backend.backend())
    return {
        name: importlib.metadata.version(name)
        for name in PACKAGES
        if name in names
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scripts", nargs="*", help="such as guides/x.py")
    paths = parser.parse_args().scripts
    if not paths:
        paths = [of for of in all_scripts() if not is_current(of)]
    for path in paths:
        print(f"Running {path}", flush=True)
        process = multiprocessing.get_context("spawn").Process(
            target=keep_outputs, args=(path,)
        )
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{path} failed: its outputs are as before.")


if __name__ == "__main__":
    main()
