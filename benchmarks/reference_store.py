"""What a store costs: to open, in memory, and for each super-batch.

    KERAS_BACKEND=jax python benchmarks/reference_store.py

A store of a million pairs of width 512 in float16 (2.1 GB) is written into a
temporary folder, and deleted at the end. It is read in a process of its own:

- It is opened without and with the index beside it (pyarrow is loaded before).
- Memory is the process's anonymous memory (`RssAnon`, sampled every
  millisecond) over what it was before the store was opened, while all keys are
  looked for and batches are read. Mapped pages are the system's.
- Batches are read as `super_batches` reads them, in parts of 32 rows, at random
  and in the order of the store; cold are the first 10 after the system was
  told to forget the files. The share is of a step of JEST with this reference.

And the identities of as many records of tar shards are made, and read from
their index.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import tempfile
import threading
import time

import keras
import numpy as np
from train_step import SIZES
from train_step import make_batch
from train_step import make_model
from train_step import make_trainer

from keras_jest import JointSelection
from keras_jest.data import ReferenceStore
from keras_jest.data.shard_identity import checked_keys
from keras_jest.data.shard_index import ShardIndex
from keras_jest.data.store_index import INDEX
from keras_jest.data.store_parts import part_name
from keras_jest.data.store_parts import write_part
from keras_jest.data.super_batch_dataset import PART_SIZE
from keras_jest.data.whole_file import whole_file
from keras_jest.models import Precomputed

NUM_SHARDS = 100
FIRST = 10


def make_keys(num_pairs):
    bits = np.random.default_rng(0).integers(0, 2**32, (num_pairs, 4))
    return bits.astype("uint32").view("int32")


def write_store(folder, args):
    """Random embeddings of length 1; returns seconds."""
    generator = np.random.default_rng(1)
    keys = make_keys(args.num_pairs)
    metadata = {
        "logit_scale": 10.0,
        "logit_bias": -10.0,
        "width": args.width,
        "dtype": "float16",
        "identity": "shard/key",
        "num_records": args.num_pairs,
        "part_size": args.part_size,
        "fingerprint": dict.fromkeys(
            ["reference", "image_size", "tokenizer", "identity", "records"]
        ),
    }
    seconds = 0
    for number, start in enumerate(range(0, args.num_pairs, args.part_size)):
        some = keys[start : start + args.part_size]
        shape = (2, len(some), args.width)
        sides = generator.standard_normal(shape, dtype="float32")
        sides /= np.linalg.norm(sides, axis=-1, keepdims=True)
        images, texts = sides.astype("float16")
        columns = {"image_embedding": images, "text_embedding": texts}
        begin = time.perf_counter()
        write_part(folder / part_name(number), some, columns, metadata)
        seconds += time.perf_counter() - begin
    return seconds


def anonymous_bytes():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("This system does not tell RssAnon.")


class PeakMemory:
    """The largest anonymous memory meanwhile, over that before, in bytes."""

    def __enter__(self):
        self.before = self.peak = anonymous_bytes()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def _sample(self):
        while not self._ended.wait(0.001):
            self.peak = max(self.peak, anonymous_bytes())

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()


def seconds_of(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def forget(folder):
    """Ask the system to drop what it has read of the files."""
    for path in pathlib.Path(folder).iterdir():
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def take(store, keys):
    """Read a batch in the parts of which it is made."""
    for start in range(0, len(keys), PART_SIZE):
        store.take(keys[start : start + PART_SIZE])


def time_batches(folder, keys, args, order):
    """Median and 95th percentile of seconds, cold and then warm."""
    rows = order(args.batches * args.batch_size) % len(keys)
    batches = np.split(keys[rows], args.batches)
    forget(folder)
    store = ReferenceStore(folder)
    figures = {}
    for state, num_batches in (("cold", FIRST), ("warm", len(batches))):
        times = [
            seconds_of(lambda of=of: take(store, of))
            for of in batches[:num_batches]
        ]
        figures[state] = np.percentile(times, [50, 95]).tolist()
    return figures


def measure_memory(folder, keys, args, draws):
    """Anonymous bytes over what there were, and seconds of a search."""
    with PeakMemory() as memory:
        store = ReferenceStore(folder)
        opened = anonymous_bytes() - memory.before
        store.missing(keys)
        for _ in range(args.batches):
            rows = draws.integers(0, len(keys), args.batch_size)
            take(store, keys[rows])
        for start in range(0, len(keys), 16 * args.batch_size):
            take(store, keys[start : start + args.batch_size])
    return {
        "anonymous bytes, opened": opened,
        "anonymous bytes, peak": memory.peak - memory.before,
        "all keys looked for": seconds_of(lambda: store.missing(keys)),
    }


def read_store(folder, args):
    """All figures of the process that reads."""
    import pyarrow.ipc  # noqa: F401  What loading it costs is not ours.

    keys = make_keys(args.num_pairs)
    draws = np.random.default_rng(2)
    first = seconds_of(lambda: ReferenceStore(folder))
    forget(folder)
    cold = seconds_of(lambda: ReferenceStore(folder))
    opened = [seconds_of(lambda: ReferenceStore(folder)) for _ in range(20)]
    figures = {
        "opened, index made": first,
        "opened, cold": cold,
        "opened, median": float(np.median(opened)),
        "opened, longest": max(opened),
        **measure_memory(folder, keys, args, draws),
    }
    orders = {
        "random": lambda count: draws.integers(0, len(keys), count),
        "sequential": np.arange,
    }
    for name, order in orders.items():
        times = time_batches(folder, keys, args, order)
        for state, (median, late) in times.items():
            figures[f"batch, {name}, {state}"] = median
            figures[f"batch, {name}, {state}, 95 %"] = late
    return figures


def in_own_process(function, *arguments):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def time_step(args):
    """Median seconds of a step of JEST that reads this reference."""
    args.sub_batch = round(args.batch_size * (1 - args.filter_ratio))
    policy = JointSelection(sub_batch_size=args.sub_batch)
    model = make_trainer(make_model(args), Precomputed(10.0, -10.0), policy)
    batch = make_batch(args, args.batch_size)
    sides = np.random.default_rng(0).normal(
        size=(2, args.batch_size, args.width)
    )
    for name, side in zip(("image", "text"), sides, strict=True):
        batch[f"reference_{name}_embedding"] = side.astype("float16")
    step = [
        seconds_of(lambda: model.train_on_batch(batch))
        for _ in range(args.repeats + 1)
    ]
    return float(np.median(step[1:]))


def time_identities(folder, args):
    """Seconds to make the identities of records, and to load the index."""
    sizes = [args.num_pairs // NUM_SHARDS] * NUM_SHARDS
    names = [f"{shard:05d}.tar" for shard in range(NUM_SHARDS)]
    texts = [f"{row:09d}".encode() for row in range(sum(sizes))]
    index = ShardIndex(
        np.frombuffer(b"".join(texts), "uint8"),
        np.cumsum([len(text) for text in texts]),
        [],
        {},
        shards=np.repeat(np.arange(NUM_SHARDS, dtype="int32"), sizes),
        spans=np.zeros((len(texts), 3, 2), "int64"),
    )
    figures = {}
    for identity in ("shard/key", "key"):
        start = time.perf_counter()
        keys = checked_keys(index, names, [], identity)
        figures[f"identities, {identity}"] = time.perf_counter() - start
        index.identity, index.identities = identity, keys
    index.save(folder / "shards.npz", None)
    load = seconds_of(lambda: ShardIndex.load(folder / "shards.npz", None))
    return {**figures, "index of shards loaded": load}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-pairs", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--part-size", type=int, default=2**16)
    parser.add_argument("--batch-size", type=int, default=160)
    parser.add_argument("--batches", type=int, default=500)
    parser.add_argument("--folder", help="where to write, instead of /tmp")
    parser.add_argument("--variant", default="S/16")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--sequence-length", type=int, default=16)
    parser.set_defaults(**SIZES)
    parser.add_argument("--filter-ratio", type=float, default=0.8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", help="file for the figures")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        folder = pathlib.Path(folder)
        (folder / "store").mkdir()
        table = {"written": write_store(folder / "store", args)}
        table |= in_own_process(read_store, folder / "store", args)
        sizes = [path.stat().st_size for path in (folder / "store").iterdir()]
        table["bytes"] = sum(sizes)
        table["bytes of the index"] = (folder / "store" / INDEX).stat().st_size
        table |= time_identities(folder, args)
    table["step"] = time_step(args)
    for state in ("cold", "warm"):
        for order in ("random", "sequential"):
            batch = table[f"batch, {order}, {state}"]
            table[f"share of a step, {order}, {state}"] = batch / table["step"]
    table["backend"] = keras.backend.backend()
    for name, value in table.items():
        is_text = isinstance(value, str)
        print(f"{name:34s} {value if is_text else format(value, ',.5f')}")
    if args.json:
        with whole_file(args.json) as file:
            file.write(json.dumps({**table, **vars(args)}, indent=1).encode())


if __name__ == "__main__":
    main()
