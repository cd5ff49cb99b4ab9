"""Building a store over `predict` on the same batches, decoding included.

    KERAS_BACKEND=jax python benchmarks/build_store.py

Both run the same reference over the same records, in one process and in
turns: `reference.predict(super_batches(...))`, and `build_store`, which beside
that looks at a first batch, digests the weights, writes and syncs the parts,
and sorts the keys. The ratio is the median over turns of `predict`'s seconds
over the store's; two runs of `predict` in each turn say what it is worth.
"""

import argparse
import io
import json
import os
import tempfile
import time

import keras
import numpy as np
from PIL import Image

from keras_jest.data import Tokenizer
from keras_jest.data import super_batches
from keras_jest.data.whole_file import whole_file
from keras_jest.models import SigLIP
from keras_jest.models import build_store

LENGTH = 16


def make_records(args):
    """Photographs of noise, as JPEG, twice as large as they are wanted."""
    random = np.random.default_rng(0)
    side = 2 * args.image_size
    records = []
    for number in range(args.records):
        rough = random.integers(0, 256, (8, 8, 3), "uint8")
        picture = Image.fromarray(rough).resize((side, side))
        file = io.BytesIO()
        picture.save(file, "JPEG")
        text = f"picture {number} of {rough[0, 0].tolist()}"
        key = str(number)
        records.append({"image": file.getvalue(), "text": text, "key": key})
    return records


def measure(args):
    records = make_records(args)
    texts = [record["text"] for record in records[:1000]]
    tokenizer = Tokenizer.train(texts, 500, LENGTH)
    reference = SigLIP.from_variant(
        args.variant,
        image_size=args.image_size,
        vocabulary_size=500,
        sequence_length=LENGTH,
    )
    data = (records, tokenizer, args.image_size, args.batch_size)

    def predict():
        dataset = super_batches(*data, shuffle=False, num_epochs=1)
        reference.predict(dataset, verbose=0)

    def build():
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            sizes = {"part_size": args.part_size, "verbose": 0}
            build_store(folder, reference, *data, **sizes)

    ways = {"predict": predict, "store": build, "predict again": predict}
    seconds = {name: [] for name in ways}
    loads = []
    draws = np.random.default_rng(1)
    for turn in range(args.repeats + 1):
        for name in draws.permutation(list(ways)):
            start = time.perf_counter()
            ways[name]()
            if turn:  # The first compiles.
                seconds[name].append(time.perf_counter() - start)
        loads.append(os.getloadavg()[0])
    return seconds, loads


def ratio(seconds, name):
    """The median over turns of `predict`'s speed that a way has."""
    turns = zip(seconds["predict"], seconds[name], strict=True)
    return float(np.median([one / other for one, other in turns]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="Ti/16")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--records", type=int, default=4096)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--part-size", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", help="where the store is built")
    parser.add_argument("--json", help="file for the figures")
    args = parser.parse_args()
    seconds, loads = measure(args)
    results = {
        "backend": keras.backend.backend(),
        "seconds": seconds,
        "load": loads,
        "store over predict": ratio(seconds, "store"),
        "predict over predict": ratio(seconds, "predict again"),
    }
    print(
        f"{results['backend']}: {args.records} records, {args.variant} at "
        f"{args.image_size} px, batches of {args.batch_size}, parts of "
        f"{args.part_size}; load {min(loads):.1f} to {max(loads):.1f}"
    )
    for name, values in seconds.items():
        rate = args.records / np.median(values)
        print(f"{name:>14}: {np.median(values):8.2f} s {rate:8.0f} pairs/s")
    for name in ("store over predict", "predict over predict"):
        print(f"{name}: {results[name]:.3f}")
    if args.json:
        with whole_file(args.json) as file:
            file.write(json.dumps(results, indent=1).encode())


if __name__ == "__main__":
    main()
