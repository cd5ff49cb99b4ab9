"""Runs until it kills itself: after a step, in a save, or in a rename."""

import os
import pathlib
import signal
import sys

import numpy as np
from resumable_run import Stop
from resumable_run import run

from keras_jest.callbacks import state_folder


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


class KillAt:
    """Calls a function until it is called for the nth time."""

    def __init__(self, function, number, begins=lambda *args: None):
        self.function, self.num_left = function, number
        self.begins = begins

    def __call__(self, *args, **kwargs):
        self.num_left -= 1
        if self.num_left == 0:
            self.begins(*args)
            kill()
        return self.function(*args, **kwargs)


def write_half(file, **arrays):
    file.write(b"half of a state")
    file.flush()


def main():
    folder, where, number = sys.argv[1:]
    number = int(number)
    others = [Stop(number, kill)] if where == "step" else []
    if where == "save":
        half = KillAt(np.savez, number, lambda file: write_half(file))
        state_folder.np.savez = half
    if where == "rename":
        os.replace = KillAt(os.replace, number, os.replace)
    run(pathlib.Path(folder), others=others, save_freq=1)


if __name__ == "__main__":
    main()
