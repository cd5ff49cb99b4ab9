"""What ActiveCLIP gains on a noisy pool, in updates and in computation.

    python benchmarks/noisy_captions.py --tune --arms "uniform, T" --seeds 0 \
        --learning-rate 1e-3 2e-3 4e-3 8e-3
    python benchmarks/noisy_captions.py --json benchmarks/noisy_captions.json

Pool, tuning rows and test are those of `noisy_pool.py`, and so is the
protocol: the same initial weights and sub-batch, a warm-up and a decay of its
own for each run, learning rates tuned for uniform training. The learner does
not pool, and takes pictures of one size. Half of each
super-batch is kept, by the own similarities of pairs for small scorers. Each
seed has a reference of its own, trained on the curated split alone.
"""

import functools
import math
import os
import tempfile

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers
from noisy_pool import Data
from pool_experiment import IMAGE_SIZE
from pool_experiment import SUB_BATCH
from pooled_learner import WIDTH
from pooled_learner import bag_of_words
from pooled_learner import convolution
from runs import batches
from runs import make_optimizer
from runs import parse
from runs import run_all
from small_scorers import Arm
from small_scorers import Experiment
from small_scorers import keep_half
from small_scorers import print_table

from keras_jest import ActiveCLIP
from keras_jest import UniformSelection
from keras_jest.callbacks import RetrievalEvaluation
from keras_jest.callbacks import SelectionLog
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.losses import SoftmaxContrastiveLoss
from keras_jest.models import DualEncoder

SUPER_BATCH = 2 * SUB_BATCH
SCORER_WIDTH = 28
LOSSES = {
    "softmax": SoftmaxContrastiveLoss(),
    "sigmoid": SigmoidContrastiveLoss(),
}
# Scale and bias start where each loss wants them.
LOGITS = {
    "softmax": {"logit_scale": 1 / 0.07, "logit_bias": None},
    "sigmoid": {},
}


LEARNABILITY = keep_half("learnability")
ARMS = {
    "uniform, T": Arm(1.0),
    "uniform, T/2": Arm(0.5),
    "uniform, equal computation": Arm(None),
    "random subset, equal computation": Arm(None, UniformSelection(0.5)),
    "learnability, T/2": Arm(0.5, LEARNABILITY, True, True),
    "learnability, 0.4 T": Arm(0.4, LEARNABILITY, True, True),
    "learnability, 0.3 T": Arm(0.3, LEARNABILITY, True, True),
    "easy reference, T/2": Arm(0.5, keep_half("easy_reference"), False, True),
    "hard learner, T/2": Arm(0.5, keep_half("hard_learner"), True),
    "RHO-LOSS, T/2": Arm(
        0.5, keep_half("learnability", gain=math.inf), False, True
    ),
    "sigmoid: uniform, T": Arm(1.0, variant="sigmoid"),
    "sigmoid: uniform, T/2": Arm(0.5, variant="sigmoid"),
    "sigmoid: learnability, T/2": Arm(0.5, LEARNABILITY, True, True, "sigmoid"),
    "sigmoid: learnability, 0.3 T": Arm(
        0.3, LEARNABILITY, True, True, "sigmoid"
    ),
}


def make_model(seed, width=WIDTH, **logits):
    """A small convolutional net that flattens, and a bag of words."""
    keras.utils.set_random_seed(seed)
    image_encoder = keras.Sequential(
        [
            keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3)),
            layers.Rescaling(1 / 127.5, offset=-1.0),
            *convolution(width // 4),
            *convolution(width // 2),
            *convolution(width),
            layers.Flatten(),
            layers.LayerNormalization(),
            layers.Dense(2 * width, activation="gelu"),
            layers.Dense(width),
        ]
    )
    logits.setdefault("logit_bias", -math.log(SUB_BATCH))
    return DualEncoder(image_encoder, bag_of_words(width), **logits)


def forward_flops(width):
    """Multiply-adds of one pair, in a model of this width."""
    model = make_model(0, width)
    return sum(
        math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
        for encoder in (model.image_encoder, model.text_encoder)
        for layer in encoder.layers
        if isinstance(layer, layers.Conv2D | layers.Dense)
    )


class NoisyCaptions(Experiment):
    """ActiveCLIP for a learner that flattens, by narrower ones."""

    def __init__(self, data, args):
        self.data = data
        flops = forward_flops(WIDTH), forward_flops(SCORER_WIDTH)
        super().__init__(ARMS, "learnability, T/2", flops, SUB_BATCH, args)
        # Each is made once, and kept.
        self.reference = functools.cache(self.make_reference)

    def make_reference(self, seed, loss):
        """A small model trained on good pairs alone."""
        model = make_model(100 + seed, SCORER_WIDTH, **LOGITS[loss])
        trainer = ActiveCLIP(model, seed=100 + seed)
        rows, steps = self.data.pool("curated"), self.args.reference_steps
        fit(trainer, rows, Arm(1.0, variant=loss), steps, 2e-3)
        return model

    def train(self, arm, seed, steps, learning_rate):
        """What was seen of a run, which is looked at twenty times in T."""
        every = max(1, self.args.steps // 20)
        evaluation = RetrievalEvaluation(self.data.evaluation, (10,), every)
        file = os.path.join(tempfile.mkdtemp(), "picks.parquet")
        log = [SelectionLog(file)] if arm.policy else []
        rows, watchers = self.data.pool("pool"), [evaluation, *log]
        model = self.make(arm, seed)
        logs = fit(model, rows, arm, steps, learning_rate, watchers)
        return {
            "clean": np.mean(self.data.picked(file)["clean"]) if log else None,
            "log_spread": logs["log_spread"][-1] if arm.draws else None,
            "every": every,
            "quality": [quality(row) for row in evaluation.history],
        }

    def make(self, arm, seed):
        loss, online, reference = arm.variant or "softmax", None, None
        logits = LOGITS[loss]
        if arm.online:
            online = make_model(200 + seed, SCORER_WIDTH, **logits)
        if arm.reference:
            reference = self.reference(seed, loss)
        learner = make_model(seed, **logits)
        return ActiveCLIP(learner, online, reference, seed=seed)


def fit(model, rows, arm, steps, learning_rate, watchers=None):
    """Train for some steps, in one epoch."""
    online = None
    if model.online is not None:
        online = make_optimizer(model.online, steps, learning_rate)
    model.compile(
        make_optimizer(model.learner, steps, learning_rate),
        loss=LOSSES[arm.variant or "softmax"],
        selection=arm.policy,
        online_optimizer=online,
    )
    size = SUPER_BATCH if arm.policy else SUB_BATCH
    return model.fit(
        batches(rows, size, steps, model.seed),
        steps_per_epoch=steps,
        shuffle=False,
        callbacks=watchers,
        verbose=2,
    ).history


def quality(recalls):
    """R@10, averaged over both directions."""
    names = ("image_to_text_recall@10", "text_to_image_recall@10")
    return round(float(np.mean([recalls[name] for name in names])), 4)


def main():
    description = __doc__.splitlines()[0]
    args = parse(description, ARMS, learning_rate=[4e-3])
    experiment = NoisyCaptions(Data(args.data, args.tune), args)
    scorer = experiment.flops[0] / experiment.flops[1]
    print(f"A scorer costs 1/{scorer:.1f} of the learner.")
    run_all(experiment, args, print_table)


if __name__ == "__main__":
    main()
