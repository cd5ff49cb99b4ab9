"""What it costs to be able to go on: every step, and every save.

    KERAS_BACKEND=torch python benchmarks/backup.py

Steps: `fit` with `BackupAndRestore`, which saves nothing meanwhile, over `fit`
without it, on the same super-batches; runs take turns in random order and
medians of steps are compared. How far two equal arms without it are apart says
what that ratio is worth; and what is added on the host is timed alone: to mark
a batch and to keep the state of the data.

Saves: `keras_jest.callbacks.BackupAndRestore` over Keras' own with
`double_checkpoint`, both of which keep two states, in turns; and their bytes.
"""

import argparse
import json
import pathlib
import random
import tempfile
import time

import grain
import keras
import numpy as np
from train_step import SIZES
from train_step import make_batch
from train_step import make_model
from train_step import make_trainer

from keras_jest import JointSelection
from keras_jest.callbacks import BackupAndRestore
from keras_jest.data.positioned_dataset import PositionedDataset
from keras_jest.data.super_batch_dataset import SuperBatchDataset
from keras_jest.data.whole_file import whole_file


class StepTimes(keras.callbacks.Callback):
    """Seconds from the end of a step to the end of the next."""

    def __init__(self):
        super().__init__()
        self.ends = []

    def on_train_batch_end(self, batch, logs=None):
        float(np.asarray(keras.ops.convert_to_numpy(logs["loss"])))
        self.ends.append(time.perf_counter())

    @property
    def median(self):
        return float(np.median(np.diff(self.ends)))


class Rows:
    """The rows of one super-batch, again and again."""

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return 2**20

    def __getitem__(self, number):
        row = number % len(self.batch["token_ids"])
        return {name: values[row] for name, values in self.batch.items()}


def make_dataset(args):
    size = round(args.sub_batch / (1 - args.filter_ratio))
    batch = make_batch(args, size)
    batch["key"] = np.zeros((size, 4), "int32")
    rows = grain.MapDataset.source(Rows(batch))
    return SuperBatchDataset(rows, size, False, 0, lambda: {})


def make_jest(args):
    policy = JointSelection(sub_batch_size=args.sub_batch)
    return make_trainer(make_model(args), make_model(args), policy)


def time_steps(args, folder):
    """Median seconds of a step without and with the place in the data."""
    model = make_jest(args)
    medians = {"without": [], "with": [], "again without": []}
    draws = random.Random(0)
    for repeat in range(args.repeats + 1):
        for name in draws.sample(list(medians), k=len(medians)):
            times = StepTimes()
            backup = BackupAndRestore(folder, save_freq=10**9)
            backup = [backup] if name == "with" else []
            model.fit(
                make_dataset(args),
                steps_per_epoch=args.steps,
                verbose=0,
                callbacks=[times, *backup],
            )
            if repeat:
                medians[name].append(times.median)
    return {name: float(np.median(of)) for name, of in medians.items()}


def time_marks(args, num_batches=2000):
    """Seconds that a mark and a state add to a batch that costs nothing."""
    size = round(args.sub_batch / (1 - args.filter_ratio))
    batch = {"key": np.zeros((size, 4), "int32")}
    dataset = grain.MapDataset.range(num_batches).map(lambda _: batch)
    seconds = []
    for of in (dataset.to_iter_dataset(), PositionedDataset(dataset)):
        start = time.perf_counter()
        for _ in of:
            pass
        seconds.append((time.perf_counter() - start) / num_batches)
    return seconds[1] - seconds[0]


class SavesInTurns(keras.callbacks.Callback):
    """Saves in the ways of several callbacks, one after the other."""

    def __init__(self, saves):
        super().__init__()
        self.saves = saves
        self.seconds = {name: [] for name in saves}

    def on_train_batch_end(self, batch, logs=None):
        for name, save in self.saves.items():
            # On JAX the way to a model brings its values back: not timed.
            self.model.count_params()
            start = time.perf_counter()
            save()
            self.seconds[name].append(time.perf_counter() - start)


def time_saves(args, folder):
    """Median seconds and bytes of a save, ours and Keras' own."""
    model = make_jest(args)
    ours = BackupAndRestore(folder / "ours", delete_checkpoint=False)
    keras_own = keras.callbacks.BackupAndRestore(
        folder / "keras", double_checkpoint=True, delete_checkpoint=False
    )
    saves = SavesInTurns(
        {"ours": lambda: ours._run.save(), "Keras": keras_own._save_model}
    )
    keras_own.set_model(model)
    model.fit(
        make_dataset(args),
        steps_per_epoch=args.repeats + 1,
        verbose=0,
        callbacks=[saves, ours],
    )
    sizes = {
        name: sum(path.stat().st_size for path in (folder / of).iterdir())
        for name, of in (("ours", "ours"), ("Keras", "keras"))
    }
    medians = {
        name: float(np.median(of[1:])) for name, of in saves.seconds.items()
    }
    return medians, sizes


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="S/16")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--sequence-length", type=int, default=16)
    parser.set_defaults(**SIZES)
    parser.add_argument("--sub-batch", type=int, default=32)
    parser.add_argument("--filter-ratio", type=float, default=0.8)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", help="file for the figures")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        steps = time_steps(args, folder / "steps")
        marks = time_marks(args)
        saves, sizes = time_saves(args, folder)
    table = {
        "step, with over without": steps["with"] / steps["without"],
        "again without, over without": (
            steps["again without"] / steps["without"]
        ),
        "mark and state over step": marks / steps["without"],
        "save, ours over Keras": saves["ours"] / saves["Keras"],
        "bytes, ours over Keras": sizes["ours"] / sizes["Keras"],
        "bytes of two states": sizes["ours"],
        "backend": keras.backend.backend(),
    }
    for name, value in table.items():
        is_text = isinstance(value, str)
        print(f"{name:28s} {value if is_text else format(value, ',.4f')}")
    if args.json:
        with whole_file(args.json) as file:
            file.write(json.dumps(table, indent=1).encode())


if __name__ == "__main__":
    main()
