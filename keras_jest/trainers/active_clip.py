"""An image-text learner whose pairs are chosen by small models."""

from typing import Any

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.losses.own_similarity_loss import OwnSimilarityLoss
from keras_jest.losses.softmax_contrastive_loss import SoftmaxContrastiveLoss
from keras_jest.selection.independent_selection import IndependentSelection
from keras_jest.selection.policies import PolicyLike
from keras_jest.trainers.selecting_model import SelectingModel

HALF_BY_OWN_SCORE = IndependentSelection(0.5)
SOFTMAX, OWN_SIMILARITY = SoftmaxContrastiveLoss(), OwnSimilarityLoss()


@keras_jest_export("keras_jest.ActiveCLIP")
class ActiveCLIP(SelectingModel):
    """Trains a large image-text learner on what two small ones find learnable.

    A pair is scored by itself: by how much more similar its image and text
    are for the reference than for the online model. No matrix of logits is
    made, so that super-batches may be of any size. Learner and online model
    train on what is kept, by the softmax loss of CLIP, or by
    `keras_jest.losses.SigmoidContrastiveLoss()`: ActiveSigLIP.

    The models may see other resolutions and tokens: each gets the inputs that
    it names from the batch.

    The progress bar shows `log_spread`, too, the mean of
    `log(std(gain * score))`. Below about -1 a draw is uniform in all but
    name: raise the gain.

    Args:
        learner: Keras model, the one to train. It returns pairs (see
            `keras_jest.models.DualEncoder`).
        online: Keras model or `None`, small, that returns pairs. Without it
            the learner scores.
        reference: Keras model or `None`, trained before on good data, such as
            curated pairs. It is frozen, unless `train_reference` is True.
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
    from keras_jest import ActiveCLIP
    from keras_jest.models import DualEncoder

    def dual_encoder(width):
        towers = [
            keras.Sequential([keras.Input((4,)), keras.layers.Dense(width)])
            for _ in range(2)
        ]
        return DualEncoder(*towers)

    model = ActiveCLIP(dual_encoder(64), dual_encoder(8), dual_encoder(8))
    model.compile("adam")
    pool = np.random.default_rng(0).normal(size=(2, 40, 4)).astype("float32")
    pool = {"images": pool[0], "token_ids": pool[1]}
    model.fit(pool, batch_size=20, verbose=0)  # trains on 10 of each 20
    ```

    Reference:
        - [Evans et al., 2023](https://arxiv.org/abs/2312.05328)
    """

    shows_spread = True

    # The other arguments are passed on by name alone.
    def compile(  # type: ignore[override]
        self,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        loss: keras.losses.Loss | None = SOFTMAX,
        selection: PolicyLike = HALF_BY_OWN_SCORE,
        score_loss: keras.losses.Loss | None = OWN_SIMILARITY,
        **kwargs: Any,
    ) -> None:
        """Configure training and selection.

        Args:
            optimizer: as in `keras_jest.JESTModel.compile`, like all that is
                not named here.
            loss: contrastive loss of pairs, for all that is trained.
            selection: a policy or its name. By default half of each
                super-batch is kept, each pair by its own score.
            score_loss: loss for scoring. By default minus the similarity of
                each pair, times the model's own logit scale.
            **kwargs: further arguments of `keras_jest.JESTModel.compile`.
        """
        super().compile(optimizer, loss, selection, score_loss, **kwargs)
