"""A learner whose examples are chosen by small models."""

from typing import Any

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.selection.independent_selection import IndependentSelection
from keras_jest.selection.policies import PolicyLike
from keras_jest.trainers.selecting_model import SelectingModel

HALF_BY_OWN_SCORE = IndependentSelection(0.5)


@keras_jest_export("keras_jest.ClassAct")
class ClassAct(SelectingModel):
    """Trains a large learner on what two small models find learnable.

    In every step a small online model and a small reference see the
    super-batch without gradients, a policy keeps the examples that the
    online model still gets wrong and the reference gets right, and the
    learner and the online model each make a training step on them. The
    learner never sees what is not kept, so that selection costs little.
    `loss`, metrics, `evaluate` and `predict` are the learner's alone.

    What is passed says which method it is:

    - `online` and `reference`: ClassAct. The reference has seen data that
      was held out, or the learner's own.
    - `train_reference=True`: the reference is trained during the run, on
      whole super-batches, and needs no training before.
    - no `online`: the learner scores. With
      `IndependentSelection(gain=float("inf"))` this is RHO-LOSS.
    - `score="hard_learner"` in the policy: no reference is needed.
    - `score="easy_reference"`: no online model is needed.
    - `reference=keras_jest.models.PrecomputedLosses()`: the reference's
      losses come with the batch.

    The progress bar shows `log_spread`, too, the mean of
    `log(std(gain * score))`. Below about -1 a draw is uniform in all but
    name: raise the gain.

    Args:
        learner: Keras model, the one to train, with outputs that `loss`
            takes.
        online: Keras model or `None`, small, with outputs like the
            learner's; best of the reference's size.
        reference: Keras model or `None`. It is frozen, unless
            `train_reference` is True.
        train_reference: bool. Train the reference on every super-batch.
        seed: int or `None`. The same seed, data and weights give the same
            picks on every backend. With `None` one is drawn, and kept.
        policy: `keras.layers.Layer` or `None`, as in `keras_jest.JESTModel`.
        score_delay: int, 0 or 1. With 1, super-batches are scored with the
            weights from before the latest update, as by a scorer that works
            while the learner trains; a copy of the weights that score is
            kept for it. It saves no time by itself.
        name: str, the name of the model.
        **kwargs: further arguments of `keras.Model`.

    Raises:
        ValueError: if two of the models are one or share variables, the
            seed is no int32, the delay is neither 0 nor 1, or there is no
            reference to train.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_jest import ClassAct

    def classifier(width):
        return keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(width, "relu"),
             keras.layers.Dense(3)]
        )

    model = ClassAct(
        classifier(64), classifier(8), classifier(8), train_reference=True
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss=loss, metrics=["accuracy"])
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    model.fit(x, y, batch_size=20, verbose=0)  # trains on 10 of each 20
    ```

    Reference:
        - [Evans et al., 2023](https://arxiv.org/abs/2312.05328)
        - [Mindermann et al., 2022](https://arxiv.org/abs/2206.07137), RHO-LOSS
    """

    shows_spread = True

    # The other arguments are passed on by name alone.
    def compile(  # type: ignore[override]
        self,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        loss: keras.losses.Loss | None = None,
        selection: PolicyLike = HALF_BY_OWN_SCORE,
        **kwargs: Any,
    ) -> None:
        """Configure training and selection.

        Args:
            optimizer: as in `keras_jest.JESTModel.compile`, like all that is
                not named here.
            loss: `keras.losses.Loss` with one value per example. Learner,
                online model and a reference that is trained have it in
                common; `score_loss` may be the same without label smoothing.
            selection: a policy or its name. By default half of each
                super-batch is kept, each example by its own score.
            **kwargs: further arguments of `keras_jest.JESTModel.compile`.
        """
        super().compile(optimizer, loss, selection, **kwargs)
