"""What a JEST step costs over the sum of its parts.

    KERAS_BACKEND=jax python benchmarks/train_step.py

The parts are what cannot be saved: a uniform training step on the sub-batch,
and a forward pass of the learner and the reference over the super-batch (of
the learner alone where the reference is precomputed). All run in one process
in turn, the machine's noise is shared, and medians are compared. Selection
itself, gathering and bookkeeping are what the ratio shows.

On CPUs it shows one thing more: every step's temporary memory goes back to the
system, and to get it anew costs the larger program more. `--keep-memory` lets
the process keep it, as the allocators of GPUs and TPUs do.
"""

import argparse
import ctypes
import json
import time

import keras
import numpy as np

from keras_jest import JESTModel
from keras_jest import JointSelection
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import SigLIP
from keras_jest.models import precompute


def make_model(args):
    return SigLIP.from_variant(
        args.variant,
        image_size=args.image_size,
        vocabulary_size=8000,
        sequence_length=args.sequence_length,
    )


def make_batch(args, size):
    generator = np.random.default_rng(0)
    shape = (size, args.image_size, args.image_size, 3)
    return {
        "images": generator.integers(0, 256, shape, dtype="uint8"),
        "token_ids": generator.integers(
            0, 8000, (size, args.sequence_length), dtype="int32"
        ),
    }


def make_trainer(learner, reference, selection):
    model = JESTModel(learner, reference, seed=0)
    model.compile(
        keras.optimizers.AdamW(1e-4),
        loss=SigmoidContrastiveLoss(),
        selection=selection,
        jit_compile=keras.backend.backend() != "torch",
    )
    return model


def make_steps(args):
    """The timed functions by name; each blocks until its result is there."""
    size = round(args.sub_batch / (1 - args.filter_ratio))
    sub_batch, super_batch = (
        make_batch(args, args.sub_batch),
        make_batch(args, size),
    )
    learner, reference = make_model(args), make_model(args)
    policy = JointSelection(sub_batch_size=args.sub_batch)
    arrays, precomputed = precompute(
        reference, super_batch, batch_size=size, dtype="float32", verbose=0
    )
    uniform = make_trainer(make_model(args), None, None)
    joint = make_trainer(learner, reference, policy)
    cached = make_trainer(make_model(args), precomputed, policy)
    return {
        "uniform step": lambda: uniform.train_on_batch(sub_batch),
        "learner forward": lambda: learner.predict_on_batch(super_batch),
        "reference forward": lambda: reference.predict_on_batch(super_batch),
        "JEST step": lambda: joint.train_on_batch(super_batch),
        "JEST step, precomputed": lambda: cached.train_on_batch(
            {**super_batch, **arrays}
        ),
    }


def measure(steps, repeats):
    """Median seconds of each step, after one run to compile it."""
    seconds = {name: [] for name in steps}
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in seconds.items()}


def keep_memory():
    """Let glibc hand freed memory out again, before anything is allocated."""
    trim_threshold, mmap_max, arena_max = -1, -4, -8  # malloc.h
    for option, value in (
        (trim_threshold, -1),
        (mmap_max, 0),
        (arena_max, 1),
    ):
        if not ctypes.CDLL(None).mallopt(option, value):
            raise RuntimeError("This system's malloc cannot keep memory.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="S/16")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--sequence-length", type=int, default=16)
    parser.add_argument("--sub-batch", type=int, default=128)
    parser.add_argument("--filter-ratio", type=float, default=0.8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep-memory", action="store_true")
    parser.add_argument("--json", help="file to write the table to")
    args = parser.parse_args()
    if args.keep_memory:
        keep_memory()
    seconds = measure(make_steps(args), args.repeats)
    parts = seconds["uniform step"] + seconds["learner forward"]
    ratios = {
        "JEST": seconds["JEST step"] / (parts + seconds["reference forward"]),
        "JEST, precomputed": seconds["JEST step, precomputed"] / parts,
    }
    backend = keras.backend.backend()
    print(f"{backend}, {args.variant} at {args.image_size} px")
    for name, value in seconds.items():
        print(f"  {name:24s} {value:8.3f} s")
    for name, value in ratios.items():
        print(f"  {name:24s} {value:8.3f} times the sum of its parts")
    if args.json:
        result = {"backend": backend, "seconds": seconds, "ratios": ratios}
        with open(args.json, "w") as file:
            json.dump({**result, "settings": vars(args)}, file, indent=1)


if __name__ == "__main__":
    main()
