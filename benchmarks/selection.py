"""How fast and how small joint selection is.

    KERAS_BACKEND=jax python benchmarks/selection.py --json selection.json

The library's streaming form is timed in turn with two others in one process:
a dense form written with care (tests/selection/dense_selection.py), and the
bare matrix products of the streaming form, same shapes, type and tiles, each
summed. What a form needs beyond the inputs is the peak memory of a process
of its own, less that of a process that only makes the inputs and compiles
next to nothing: in its first run, which compiles it, and in its second.

`--step-share` adds how much of a JEST step selection takes: SigLIP B/16 at
256 px with 64 tokens, from seconds per row, since no step of 16,384 rows fits.
"""

import argparse
import ctypes
import json
import pathlib
import resource
import subprocess
import sys
import time

import keras
import numpy as np
from keras import ops

from keras_jest import JESTModel
from keras_jest import JointSelection
from keras_jest.data.whole_file import whole_file
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.losses import SoftmaxContrastiveLoss
from keras_jest.losses.strips import map_strips
from keras_jest.models import SigLIP

TESTS = pathlib.Path(__file__).parents[1] / "tests"
sys.path += [str(TESTS), str(TESTS / "selection")]

from dense_selection import dense_selection  # noqa: E402
from on_backend import compiled  # noqa: E402
from random_pairs import random_pairs  # noqa: E402

BACKEND = keras.backend.backend()


def make_inputs(args):
    """Learner, reference and seed; the reference knows its pairs better."""
    arrays = (
        random_pairs(args.n, args.width, noise=2.0),
        random_pairs(args.n, args.width, scale=30.0, bias=-12.0),
    )
    learner, reference = (
        {key: ops.convert_to_tensor(pairs[key]) for key in pairs}
        for pairs in arrays
    )
    return learner, reference, ops.convert_to_tensor(7, "int32")


def make_loss(name, dtype):
    if name == "softmax":
        return SoftmaxContrastiveLoss()
    return SigmoidContrastiveLoss(product_dtype=dtype)


def streaming_form(policy, name, dtype):
    loss = make_loss(name, dtype)
    return compiled(
        lambda learner, reference, seed: policy.select(
            loss.given(learner), loss.given(reference), seed
        )
    )


def dense_form(policy, name):
    return compiled(
        lambda learner, reference, seed: dense_selection(
            policy, name, learner, reference, seed
        )
    )


def bare_products(policy, dtype):
    """The products of the streaming form and their sums, nothing else."""

    def products(learner, reference, seed):
        return sum(of_model(pairs) for pairs in (learner, reference))

    def of_model(pairs):
        images = ops.cast(pairs["image_embedding"], dtype)
        texts = ops.cast(pairs["text_embedding"], dtype)
        total, first = 0.0, 0
        for size in policy.chunk_sizes(images.shape[0])[:-1]:
            chunk = slice(first, first + size)
            total = total + with_chosen(images, texts, chunk)
            first += size
        return total

    return compiled(products)


def with_chosen(images, texts, chunk):
    chosen_images, chosen_texts = (
        ops.transpose(rows[chunk]) for rows in (images, texts)
    )

    def of_strip(strip):
        images, texts = strip
        return row_sums(images, chosen_texts) + row_sums(texts, chosen_images)

    return map_strips(of_strip, (images, texts))


def row_sums(rows, chosen):
    return ops.sum(ops.cast(ops.matmul(rows, chosen), "float32"), axis=1)


def make_forms(args, name):
    policy = JointSelection(args.filter_ratio, num_chunks=args.num_chunks)
    dtype = "float32" if name == "softmax" else args.dtype
    forms = {
        "streaming": streaming_form(policy, name, dtype),
        "bare products": bare_products(policy, dtype),
    }
    if not args.without_dense:
        forms["dense"] = dense_form(policy, name)
    return forms


def measure_seconds(functions, inputs, repeats):
    """Median seconds after one run to compile, and seconds of that run.

    Each takes its turn twice and the second run counts, so that none pays
    for the memory that the one before it gave back.
    """
    first = {name: seconds_of(of, inputs) for name, of in functions.items()}
    seconds = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            seconds_of(function, inputs)
            seconds[name].append(seconds_of(function, inputs))
    medians = {name: float(np.median(of)) for name, of in seconds.items()}
    return medians, first


def seconds_of(function, inputs):
    start = time.perf_counter()
    block(function(*inputs))
    return time.perf_counter() - start


def block(outputs):
    """Wait for the outputs by fetching one of them."""
    ops.convert_to_numpy(keras.tree.flatten(outputs)[0])


def forget_peak():
    """Count the peak from here, on Linux, without what is free already."""
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_memory(args, name):
    """Peak bytes in the first and the second run of one form a process."""
    forms = ["inputs", "streaming"] + ["dense"] * (not args.without_dense)
    peaks = {}
    for form in forms:
        arguments = [*sys.argv[1:], "--loss", name, "--memory-of", form]
        done = subprocess.run(
            [sys.executable, __file__, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        peaks[form] = [int(peak) for peak in done.stdout.split()[-2:]]
    return peaks


def run_one_form(args):
    inputs = make_inputs(args)
    # The compiler takes memory, too, and that is no form's own.
    block(compiled(lambda seed: seed + 1)(inputs[-1]))
    forms = {"inputs": lambda *inputs: inputs} | make_forms(args, args.loss)
    form = forms[args.memory_of]
    for _ in range(2):
        forget_peak()
        block(form(*inputs))
        print(peak_bytes())


def share_of_equal_picks(first, second):
    first, second = (
        set(ops.convert_to_numpy(picks).tolist()) for picks in (first, second)
    )
    return len(first & second) / len(first)


def benchmark(args, name, memory):
    functions, inputs = make_forms(args, name), make_inputs(args)
    seconds, compiling = measure_seconds(functions, inputs, args.repeats)
    result = {
        "backend": BACKEND,
        "loss": name,
        "seconds": seconds,
        "seconds of the first run": compiling,
        "peak bytes": memory,
        "over bare products": seconds["streaming"] / seconds["bare products"],
    }
    picks = functions["streaming"](*inputs)
    if "dense" in functions:
        first, second = (
            (memory["dense"][run] - memory["inputs"][run])
            / (memory["streaming"][run] - memory["inputs"][run])
            for run in range(2)
        )
        result["faster than dense"] = seconds["dense"] / seconds["streaming"]
        result["dense over its memory"] = second
        result["and with compiling"] = first
        result["picks of the dense form"] = share_of_equal_picks(
            picks, functions["dense"](*inputs)
        )
    if name == "sigmoid" and args.dtype != "float32":
        policy = JointSelection(args.filter_ratio, num_chunks=args.num_chunks)
        exact = streaming_form(policy, name, "float32")(*inputs)
        result["picks of float32"] = share_of_equal_picks(picks, exact)
    return result


def print_result(result):
    print(f"{result['backend']}, {result['loss']}")
    for form, seconds in result["seconds"].items():
        first = result["seconds of the first run"][form]
        print(f"  {form:24s} {seconds:8.3f} s, the first run {first:.1f} s")
    for form, peaks in result["peak bytes"].items():
        first, second = (peak / 2**30 for peak in peaks)
        print(
            f"  {form + ', peak':24s} {second:8.2f} GiB, "
            f"the first run {first:.2f} GiB"
        )
    for name, value in result.items():
        if isinstance(value, float):
            print(f"  {name:24s} {value:8.2f}")


def seconds_per_row(rows=4, repeats=3):
    """Forward and training seconds per row of SigLIP B/16 at 256 px."""
    learner = SigLIP.from_variant("B/16", image_size=256)
    model = JESTModel(learner)
    model.compile(
        keras.optimizers.AdamW(1e-4),
        loss=SigmoidContrastiveLoss(),
        selection=None,
        jit_compile=BACKEND != "torch",
    )
    rng = np.random.default_rng(0)
    shape = (rows, 256, 256, 3)
    batch = {
        "images": rng.integers(0, 256, shape, dtype="uint8"),
        "token_ids": rng.integers(0, 32_000, (rows, 64), dtype="int32"),
    }
    steps = {
        "forward": lambda: model.predict_on_batch(batch),
        "training": lambda: model.train_on_batch(batch),
    }
    seconds, _ = measure_seconds(steps, (), repeats)
    return {name: seconds[name] / rows for name in steps}


def measure_step_share(args):
    """Selection's share of a JEST step on super-batches of `n` rows."""
    per_row = seconds_per_row()
    policy = JointSelection(args.filter_ratio, num_chunks=args.num_chunks)
    function = streaming_form(policy, "sigmoid", args.dtype)
    inputs = make_inputs(argparse.Namespace(n=args.n, width=768))
    seconds, _ = measure_seconds({"selection": function}, inputs, args.repeats)
    scoring = 2 * args.n * per_row["forward"]
    training = policy.num_kept(args.n) * per_row["training"]
    step = scoring + training + seconds["selection"]
    return {
        "seconds per row": per_row,
        "seconds of selection": seconds["selection"],
        "seconds of a step": step,
        "share of a step": seconds["selection"] / step,
    }


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=16_384, help="rows")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--filter-ratio", type=float, default=0.8)
    parser.add_argument("--num-chunks", type=int, default=16)
    losses = ["sigmoid", "softmax", "both"]
    parser.add_argument("--loss", choices=losses, default="both")
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16"],
        default="float32",
        help="of the matrix products of the sigmoid loss",
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--without-dense", action="store_true", help="where it does not fit"
    )
    parser.add_argument("--step-share", action="store_true")
    parser.add_argument("--json", help="file to write the table to")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    args = parse_arguments()
    if args.memory_of:
        return run_one_form(args)
    names = ["sigmoid", "softmax"] if args.loss == "both" else [args.loss]
    table = {"settings": vars(args), "results": []}
    # Before this process grows: a child is charged with its parent's peak.
    memory = {name: measure_memory(args, name) for name in names}
    for name in names:
        table["results"].append(benchmark(args, name, memory[name]))
        print_result(table["results"][-1])
    if args.step_share:
        table["step"] = measure_step_share(args)
        print(json.dumps(table["step"], indent=1))
    if args.json:
        with whole_file(args.json) as file:
            file.write(json.dumps(table, indent=1).encode())


if __name__ == "__main__":
    main()
