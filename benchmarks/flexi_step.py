"""What a step of Flexi-JEST with a stored reference costs in uniform steps.

    KERAS_BACKEND=jax python benchmarks/flexi_step.py

Three numbers for one model: the closed form of the papers' ledger (one training
step is three forward passes; the sub-batch half coarse and half fine, the
super-batch coarse), the same ratio in FLOPs that the backend counts in the
passes of the very step, and wall time: a step of `fit` over a plain training
step on the sub-batch, in turns in one process, medians compared.

The super-batch is scored in patches twice as large; the reference's embeddings
come with it. `--image-size` takes several sizes; time is taken of those in
`--time`, since a step of S/16 on a CPU takes seconds.
"""

import argparse
import json

import keras
import numpy as np
from train_step import SIZES
from train_step import keep_memory
from train_step import make_batch
from train_step import make_trainer
from train_step import measure

from keras_jest import FlexiJEST
from keras_jest import JointSelection
from keras_jest.data.whole_file import whole_file
from keras_jest.flops.count_flops import flops_of_pass
from keras_jest.flops.model_pass import UNIFORM
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import Precomputed
from keras_jest.models import SigLIP
from keras_jest.models import precompute


def make_model(args, image_size):
    patch_size = int(args.variant.split("/")[1])
    return SigLIP.from_variant(
        args.variant,
        image_size=image_size,
        vocabulary_size=8000,
        sequence_length=args.sequence_length,
        patch_sizes=(patch_size, 2 * patch_size),
    )


def closed_form(args, model):
    """Section 2.8 of the method notes: 1 - h + h c + c / (3 (1 - f))."""
    fine = model.forward_flops
    coarse = model.forward_flops_at(2 * model.patch_size) / fine
    share = args.coarse_share
    scored = 1 / (1 - args.filter_ratio)
    return 1 - share + share * coarse + scored * coarse / 3


def counted(args, model, flexi):
    """The same, in FLOPs that the backend would run."""
    _, super_batch = batches(args, model.image_encoder.image_size)
    size = len(super_batch["token_ids"])
    rows = {"trained_rows": args.sub_batch, "scored_rows": size}
    stored = np.zeros((size, model.image_encoder.width), "float16")
    super_batch |= {
        f"reference_{side}_embedding": stored for side in ("image", "text")
    }
    flops = {
        of.term: rows[of.counted_by]
        * flops_of_pass(of, super_batch, rows[of.counted_by])
        for of in flexi.passes(super_batch)
    }
    uniform = flops.pop(UNIFORM)
    return sum(flops.values()) / uniform


def batches(args, image_size):
    size = round(args.sub_batch / (1 - args.filter_ratio))
    args = argparse.Namespace(**{**vars(args), "image_size": image_size})
    return make_batch(args, args.sub_batch), make_batch(args, size)


def make_flexi(args, learner, reference):
    model = FlexiJEST(
        learner,
        reference,
        coarse_size=learner.image_encoder.image_size // 2,
        coarse_share=args.coarse_share,
        seed=0,
    )
    model.compile(
        keras.optimizers.AdamW(1e-4),
        loss=SigmoidContrastiveLoss(),
        selection=JointSelection(sub_batch_size=args.sub_batch),
        jit_compile=keras.backend.backend() != "torch",
    )
    return model


def wall(args, image_size):
    """Seconds of a step of Flexi-JEST over those of a uniform one."""
    sub_batch, super_batch = batches(args, image_size)
    size = len(super_batch["token_ids"])
    reference = make_model(args, image_size)
    arrays, stored = precompute(
        reference, super_batch, batch_size=size, dtype="float16", verbose=0
    )
    uniform = make_trainer(make_model(args, image_size), None, None)
    flexi = make_flexi(args, make_model(args, image_size), stored)
    super_batch = {**super_batch, **arrays}
    steps = {
        "uniform": lambda: uniform.train_on_batch(sub_batch),
        "Flexi-JEST": lambda: flexi.train_on_batch(super_batch),
    }
    seconds = measure(steps, args.repeats)
    return seconds["Flexi-JEST"] / seconds["uniform"]


def rows(args):
    for image_size in args.image_size:
        model = make_model(args, image_size)
        stored = Precomputed(1.0)
        row = {
            "size": image_size,
            "closed form": closed_form(args, model),
            "counted": counted(args, model, make_flexi(args, model, stored)),
        }
        if image_size in args.time:
            row["wall"] = wall(args, image_size)
            row["wall over closed form"] = row["wall"] / row["closed form"]
        yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="S/16")
    parser.add_argument(
        "--image-size", type=int, nargs="+", default=[64, 128, 256]
    )
    parser.add_argument("--time", type=int, nargs="*", default=[128])
    parser.add_argument("--sequence-length", type=int, default=16)
    parser.set_defaults(**SIZES)
    parser.add_argument("--sub-batch", type=int, default=32)
    parser.add_argument("--filter-ratio", type=float, default=0.8)
    parser.add_argument("--coarse-share", type=float, default=0.5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep-memory", action="store_true")
    parser.add_argument("--json", help="file to write the table to")
    args = parser.parse_args()
    if args.keep_memory:
        keep_memory()
    backend = keras.backend.backend()
    print(f"{backend}, {args.variant}, in steps of uniform training")
    table = []
    for row in rows(args):
        table.append(row)
        cells = [f"{name} {value:.3f}" for name, value in row.items()][1:]
        print(f"  {row['size']} px: {', '.join(cells)}", flush=True)
    if args.json:
        result = {"backend": backend, "rows": table, "settings": vars(args)}
        with whole_file(args.json) as file:
            file.write(json.dumps(result, indent=1).encode())


if __name__ == "__main__":
    main()
