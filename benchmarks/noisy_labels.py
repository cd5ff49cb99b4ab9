"""What ClassAct gains on labels that people got wrong.

    python benchmarks/noisy_labels.py --tune --arms "uniform, T" --seeds 0 \
        --learning-rate 1e-3 2e-3 4e-3
    python benchmarks/noisy_labels.py --json benchmarks/noisy_labels.json

CIFAR-10 with the labels of CIFAR-10N ("worse", 40 % wrong). The rows are parted
into the learner's, the reference's, and those for tuning; the reference trains
on noisy labels alone, and quality is the accuracy on clean test rows. Each
run has a warm-up and a decay of its own; the learning rate was tuned for
uniform training. Half of each super-batch is kept.
"""

import functools
import io
import math
import os
import tempfile

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers
from PIL import Image
from runs import parse
from runs import run_all
from small_scorers import Arm
from small_scorers import Experiment
from small_scorers import keep_half
from small_scorers import print_table

from keras_jest import ClassAct
from keras_jest import UniformSelection
from keras_jest.callbacks import SelectionLog
from keras_jest.data import record_key
from keras_jest.data import recorded_rows

SUB_BATCH, SUPER_BATCH = 64, 128
NUM_TUNING, NUM_OWN = 2_000, 9_000
LEARNER, SCORER = (64, 128, 128), (12, 24, 32, 32)
SCORER_RATE = 4e-3
PAPER = "B chosen for by Ti, in the paper: 82% of updates, 0.97 of computation"


GOAL = 0.54
LEARNABILITY = Arm(GOAL, keep_half("learnability"), True, True)
TOP = keep_half("learnability", math.inf)
ARMS = {
    "uniform, T": Arm(1.0),
    "uniform, T/2": Arm(0.5),
    "uniform, T, all rows": Arm(1.0, variant="all"),
    "uniform, equal computation": Arm(None),
    "random subset, equal computation": Arm(None, UniformSelection(0.5)),
    "learnability": LEARNABILITY,
    "easy reference": Arm(GOAL, keep_half("easy_reference"), False, True),
    "hard learner": Arm(GOAL, keep_half("hard_learner"), True),
    "RHO-LOSS": Arm(GOAL, TOP, False, True),
}


class Data:
    """Pictures, given and true labels, and who sees which rows."""

    def __init__(self, folder, tune):
        file = np.load(folder / "cifar10n.npz")
        self.images = pictures(file, "train")
        self.labels = file["train_worse"].astype("int32")
        self.clean = file["train_clean"]
        rows = range(len(self.labels))
        self.keys = np.stack([record_key(str(row)) for row in rows])
        order = np.random.default_rng(7).permutation(len(self.labels))
        tuning, order = order[:NUM_TUNING], order[NUM_TUNING:]
        self.rows = {
            "own": order[:NUM_OWN],
            "held out": order[NUM_OWN:],
            "all": order,
        }
        self.test = self.images[tuning], self.clean[tuning]
        if not tune:
            self.test = pictures(file, "test"), file["test_clean"]

    def batches(self, rows, size, steps, seed):
        """Whole batches in random order, half of the pictures mirrored."""
        rng, order = np.random.default_rng(seed), np.empty(0, int)
        for _ in range(steps):
            if len(order) < size:
                order = np.append(order, rng.permutation(self.rows[rows]))
            chosen, order = order[:size], order[size:]
            images = self.images[chosen]
            is_mirrored = rng.random(size) < 0.5
            images[is_mirrored] = images[is_mirrored, :, ::-1]
            inputs = {"images": images, "key": self.keys[chosen]}
            yield inputs, self.labels[chosen]

    def share_right(self, path):
        """How many of the picks in a file have their true label."""
        rows = np.concatenate(recorded_rows(path, self.keys))
        return float(np.mean(self.labels[rows] == self.clean[rows]))


def pictures(file, split):
    offsets, jpeg = file[f"{split}_offsets"], file[f"{split}_jpeg"]
    images = [
        np.asarray(Image.open(io.BytesIO(jpeg[first:last].tobytes())))
        for first, last in zip(offsets[:-1], offsets[1:], strict=True)
    ]
    return np.stack(images).astype("float32") / 255


def make_model(widths, seed, dropout):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((32, 32, 3), name="images")])
    for width in widths:
        model.add(layers.Conv2D(width, 3, strides=2, padding="same"))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.Activation("relu"))
    model.add(layers.Flatten())
    model.add(layers.Dropout(dropout))
    model.add(layers.Dense(10))
    return model


def make_learner(seed):
    return make_model(LEARNER, seed, dropout=0.5)


def make_scorer(seed):
    return make_model(SCORER, seed, dropout=0.1)


def forward_flops(model):
    """Multiply-adds of one picture."""
    return sum(
        math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
        for layer in model.layers
        if isinstance(layer, layers.Conv2D | layers.Dense)
    )


def make_optimizer(steps, learning_rate):
    warm_up = max(1, steps // 20)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps - warm_up),
        warmup_target=learning_rate,
        warmup_steps=warm_up,
    )
    return keras.optimizers.AdamW(schedule, global_clipnorm=1.0)


class CleanAccuracy(keras.callbacks.Callback):
    """The learner's accuracy on clean rows, every so many steps."""

    def __init__(self, test, every):
        super().__init__()
        self.test, self.every = test, every
        self.history = []

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % self.every == 0:
            images, labels = self.test
            logits = self.model.learner.predict(
                images, batch_size=500, verbose=0
            )
            right = np.argmax(logits, axis=1) == labels
            self.history.append(round(float(np.mean(right)), 4))


class NoisyLabels(Experiment):
    """ClassAct for a convolutional net, by smaller ones."""

    def __init__(self, data, args):
        self.data = data
        models = make_learner(0), make_scorer(0)
        flops = tuple(forward_flops(model) for model in models)
        super().__init__(ARMS, "learnability", flops, SUB_BATCH, args)
        # Each is made once, and kept.
        self.reference = functools.cache(self.make_reference)

    def make_reference(self, seed):
        """A small model trained on held-out rows and their noisy labels."""
        model, steps = make_scorer(100 + seed), self.args.reference_steps
        arm = Arm(1.0, variant="held out")
        trainer = ClassAct(model, seed=100 + seed)
        self.fit(trainer, arm, steps, SCORER_RATE)
        return model

    def train(self, arm, seed, steps, learning_rate):
        every = max(1, self.args.steps // 20)
        accuracy = CleanAccuracy(self.data.test, every)
        file = os.path.join(tempfile.mkdtemp(), "picks.parquet")
        log = [SelectionLog(file)] if arm.policy else []
        model = ClassAct(
            make_learner(seed),
            online=make_scorer(200 + seed) if arm.online else None,
            reference=self.reference(seed) if arm.reference else None,
            seed=seed,
        )
        logs = self.fit(model, arm, steps, learning_rate, [accuracy, *log])
        return {
            "clean": self.data.share_right(file) if log else None,
            "log_spread": logs["log_spread"][-1] if arm.draws else None,
            "every": every,
            "quality": accuracy.history,
        }

    def fit(self, model, arm, steps, learning_rate, callbacks=None):
        model.compile(
            make_optimizer(steps, learning_rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            selection=arm.policy,
        )
        rows, size = arm.variant or "own", SUB_BATCH
        if arm.policy:
            size = SUPER_BATCH
        return model.fit(
            self.data.batches(rows, size, steps, model.seed),
            steps_per_epoch=steps,
            shuffle=False,
            callbacks=callbacks,
            verbose=2,
        ).history


def main():
    defaults = {"steps": 2000, "reference_steps": 4000, "learning_rate": [2e-3]}
    args = parse(__doc__.splitlines()[0], ARMS, **defaults)
    experiment = NoisyLabels(Data(args.data, args.tune), args)
    scorer = experiment.flops[0] / experiment.flops[1]
    print(f"A scorer costs 1/{scorer:.1f} of the learner.")
    run_all(experiment, args, print_table)
    print(PAPER)


if __name__ == "__main__":
    main()
