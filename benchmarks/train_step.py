"""What a step with selection costs over the sum of its parts.

    KERAS_BACKEND=jax python benchmarks/train_step.py

The parts are what cannot be saved: a uniform training step on the sub-batch,
and a forward pass of the learner and the reference over the super-batch (of
the learner alone where the reference is precomputed). ClassAct's are the steps
of a classifier and of its online model on half of the super-batch, and forward
passes of online model and reference over it. All run in one process
in turn, the machine's noise is shared, and medians are compared. Selection
itself, gathering and bookkeeping are what the ratio shows.

On CPUs it shows one thing more: every step's temporary memory goes back to the
system, and to get it anew costs the larger program more. `--keep-memory` lets
the process keep it, as the allocators of GPUs and TPUs do.

`--peer transformers` compares a uniform step with what a user would otherwise
train, in eager torch; it must be installed:

    KERAS_BACKEND=torch python benchmarks/train_step.py --peer transformers \
        --depth 6 --vocabulary-size 32000 --sub-batch 64 --repeats 15
"""

import argparse
import ctypes
import json
import time

import keras
import numpy as np

from keras_jest import ClassAct
from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest import JointSelection
from keras_jest.data.whole_file import whole_file
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import SigLIP
from keras_jest.models import precompute

# Of models whose benchmark has no arguments for it.
SIZES = {"vocabulary_size": 8000, "depth": None}


def make_model(args):
    return SigLIP.from_variant(
        args.variant,
        image_size=args.image_size,
        vocabulary_size=args.vocabulary_size,
        sequence_length=args.sequence_length,
        **({"depth": args.depth} if args.depth else {}),
    )


def make_batch(args, size):
    generator = np.random.default_rng(0)
    shape = (size, args.image_size, args.image_size, 3)
    return {
        "images": generator.integers(0, 256, shape, dtype="uint8"),
        "token_ids": generator.integers(
            0, args.vocabulary_size, (size, args.sequence_length), dtype="int32"
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


def make_classifier(args, variant, num_classes=1000):
    size = args.image_size
    encoder = SigLIP.from_variant(variant, image_size=size).image_encoder
    images = keras.Input((size, size, 3))
    return keras.Sequential([images, encoder, keras.layers.Dense(num_classes)])


def make_class_act(args, selection, learner, online=None, reference=None):
    model = ClassAct(learner, online, reference, seed=0)
    model.compile(
        keras.optimizers.AdamW(1e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        selection=selection,
        jit_compile=keras.backend.backend() != "torch",
    )
    return model


def make_class_act_steps(args):
    """ClassAct and its parts; half of the super-batch is kept."""
    images = make_batch(args, 2 * args.sub_batch)["images"]
    labels = np.arange(len(images), dtype="int32")
    sub_batch = images[: args.sub_batch], labels[: args.sub_batch]
    learner = make_class_act(args, None, make_classifier(args, args.variant))
    small = [make_classifier(args, args.scorer) for _ in range(4)]
    online = make_class_act(args, None, small[0])
    active = make_class_act(
        args,
        IndependentSelection(sub_batch_size=args.sub_batch),
        make_classifier(args, args.variant),
        *small[1:3],
    )
    return {
        "classifier step": lambda: learner.train_on_batch(*sub_batch),
        "online step": lambda: online.train_on_batch(*sub_batch),
        "online forward": lambda: small[3].predict_on_batch(images),
        "ClassAct step": lambda: active.train_on_batch(images, labels),
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


def over_parts(args):
    """Median seconds, and whole steps over the sums of their parts."""
    seconds = measure(make_steps(args), args.repeats)
    seconds |= measure(make_class_act_steps(args), args.repeats)
    parts = seconds["uniform step"] + seconds["learner forward"]
    ratios = {
        "JEST": seconds["JEST step"] / (parts + seconds["reference forward"]),
        "JEST, precomputed": seconds["JEST step, precomputed"] / parts,
        "ClassAct": seconds["ClassAct step"]
        / (
            seconds["classifier step"]
            + seconds["online step"]
            + 2 * seconds["online forward"]
        ),
    }
    return seconds, ratios


def against_peer(args):
    """Median seconds, and a uniform step over that of another library."""
    from transformers_peer import make_peer_steps
    from transformers_peer import peer_ratios

    trainer = make_trainer(make_model(args), None, None)
    batch = make_batch(args, args.sub_batch)
    steps = make_peer_steps(make_model(args), trainer, batch)
    seconds = measure(steps, args.repeats)
    return seconds, peer_ratios(seconds)


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
    parser.add_argument("--scorer", default="Ti/16", help="of ClassAct")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--sequence-length", type=int, default=16)
    parser.add_argument("--sub-batch", type=int, default=128)
    parser.add_argument("--filter-ratio", type=float, default=0.8)
    parser.add_argument("--vocabulary-size", type=int)
    parser.add_argument("--depth", type=int, help="other than the variant's")
    parser.set_defaults(**SIZES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peer", choices=["transformers"])
    parser.add_argument("--keep-memory", action="store_true")
    parser.add_argument("--json", help="file to write the table to")
    args = parser.parse_args()
    if args.keep_memory:
        keep_memory()
    seconds, ratios = against_peer(args) if args.peer else over_parts(args)
    unit = "times its peer" if args.peer else "times the sum of its parts"
    backend = keras.backend.backend()
    print(f"{backend}, {args.variant} at {args.image_size} px")
    for name, value in seconds.items():
        print(f"  {name:32s} {value:8.3f} s")
    for name, value in ratios.items():
        print(f"  {name:32s} {value:8.3f} {unit}")
    if args.json:
        result = {"backend": backend, "seconds": seconds, "ratios": ratios}
        result["settings"] = vars(args)
        with whole_file(args.json) as file:
            file.write(json.dumps(result, indent=1).encode())


if __name__ == "__main__":
    main()
