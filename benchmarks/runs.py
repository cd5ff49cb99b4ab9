"""What benchmarks that train share: arguments, batches, results kept."""

import argparse
import json
import pathlib

import keras
import numpy as np

from keras_jest.data.whole_file import whole_file


def make_optimizer(model, steps, learning_rate):
    warm_up = max(1, steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up, warmup_target=learning_rate, warmup_steps=warm_up
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=0.1, beta_2=0.95, global_clipnorm=1.0
    )
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.variables if v.name != "kernel"]
    )
    return optimizer


def batches(arrays, size, steps, seed):
    """Whole batches of a pool in random order, epoch after epoch."""
    generator = np.random.default_rng(seed)
    order = np.empty(0, int)
    for _ in range(steps):
        if len(order) < size:
            epoch = generator.permutation(len(arrays["images"]))
            order = np.concatenate([order, epoch])
        rows, order = order[:size], order[size:]
        yield ({name: values[rows] for name, values in arrays.items()},)


def by_arm(results):
    groups = {}
    for row in results:
        groups.setdefault((row["arm"], row["learning_rate"]), []).append(row)
    return groups


def parse(description, arms, more=(), **defaults):
    """The arguments of the benchmarks on pools of drawings.

    Args:
        description: str.
        arms: iterable of str.
        more: dict of further numbers, by their names, with their defaults.
        **defaults: other defaults.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=pathlib.Path, default="../shared/data")
    parser.add_argument("--arms", nargs="+", default=list(arms))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1000, help="T")
    parser.add_argument("--reference-steps", type=int, default=1000)
    parser.add_argument(
        "--learning-rate", type=float, nargs="+", default=[2e-3]
    )
    parser.add_argument(
        "--tune", action="store_true", help="look at the tuning rows"
    )
    parser.add_argument("--json", type=pathlib.Path, help="results, kept")
    for name, value in dict(more).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.set_defaults(**defaults)
    return parser.parse_args()


def run_all(experiment, args, print_table):
    """Run what is not in the file yet, and keep each result there."""
    results = []
    if args.json and args.json.exists():
        results = json.loads(args.json.read_text())
    done = {(r["arm"], r["seed"], r["learning_rate"]) for r in results}
    for seed in args.seeds:
        for name in args.arms:
            for rate in args.learning_rate:
                if (name, seed, rate) in done:
                    continue
                results.append(experiment.run(name, seed, rate))
                if args.json:
                    with whole_file(args.json) as file:
                        file.write(as_lines(results).encode())
                print_table(results[-1:])
    print_table(results)


def as_lines(results):
    """JSON with a run on each line."""
    return "[\n" + ",\n".join(map(json.dumps, results)) + "\n]\n"
