"""A model that decides what it trains on while it trains."""

from typing import Any

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.trainers.selecting_model import SelectingModel


@keras_jest_export("keras_jest.JESTModel")
class JESTModel(SelectingModel):
    """Trains a learner on the part of each super-batch that is worth it.

    The dataset yields super-batches. In every step of `fit` the learner and
    the reference see the super-batch without gradients, a policy picks the
    sub-batch from their losses, and the learner makes an ordinary Keras
    training step on it. Nothing is selected in `evaluate` and `predict`,
    which are the learner's own.

    Under `keras.distribution.DataParallel` on JAX the whole super-batch is
    one, and each device trains its share of the sub-batch. Under
    `tf.distribute` every replica selects from its own part, and so it would
    under torch DDP, which the `fit` of Keras does not start.

    Args:
        learner: Keras model, the one to train. It returns pairs (see
            `keras_jest.models.DualEncoder`) or whatever the loss takes.
        reference: Keras model or `None`, trained before on good data. It is
            frozen: its `trainable` is set to False. It may not be the
            learner itself.
        seed: int or `None`. The same seed, data and weights give the same
            picks on every backend. With `None` one is drawn, and kept.
        policy: `keras.layers.Layer` or `None`, a policy with a memory, whose
            variables, made in its constructor, are then saved with the
            model. Pass it to `compile` as `selection`, too.
        score_delay: int, 0 or 1. With 1, super-batches are scored with the
            weights from before the latest update, as by a scorer that works
            while the learner trains; a copy of the weights that score is
            kept for it. It saves no time by itself.
        name: str, the name of the model.
        **kwargs: further arguments of `keras.Model`.

    Raises:
        ValueError: if learner and reference are the same object or share
            variables, the seed is no int32, or the delay is neither 0 nor 1.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_jest import JESTModel
    from keras_jest.losses import SigmoidContrastiveLoss
    from keras_jest.models import DualEncoder

    def encoder():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])

    learner = DualEncoder(encoder(), encoder())
    reference = DualEncoder(encoder(), encoder())
    model = JESTModel(learner, reference, seed=0)
    model.compile("adam", loss=SigmoidContrastiveLoss(), selection="joint")
    pool = np.random.default_rng(0).normal(size=(2, 40, 4)).astype("float32")
    pool = {"images": pool[0], "token_ids": pool[1]}
    model.fit(pool, batch_size=20, verbose=0)  # trains on 4 of each 20
    ```

    Reference:
        - [Evans et al., 2024](https://arxiv.org/abs/2406.17711)
    """

    def __init__(
        self,
        learner: keras.Model,
        reference: keras.Model | None = None,
        seed: int | None = None,
        policy: keras.layers.Layer | None = None,
        score_delay: int = 0,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learner,
            reference=reference,
            seed=seed,
            policy=policy,
            score_delay=score_delay,
            name=name,
            **kwargs,
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["online"], config["train_reference"]
        return config
