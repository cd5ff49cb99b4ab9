"""A model that chooses its data cheaply: at low resolution."""

import numbers
from collections.abc import Callable
from typing import Any

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.flops.model_pass import UNIFORM
from keras_jest.flops.model_pass import ModelPass
from keras_jest.models.model_inputs import model_inputs
from keras_jest.trainers.coarse import check_sees_coarsely
from keras_jest.trainers.coarse import coarsely
from keras_jest.trainers.device_layout import num_devices
from keras_jest.trainers.mixed_sizes import in_two_sizes
from keras_jest.trainers.mixed_sizes import interleaved
from keras_jest.trainers.score_agreement import ScoreAgreement
from keras_jest.trainers.selecting_model import SelectingModel


@keras_jest_export("keras_jest.FlexiJEST")
class FlexiJEST(SelectingModel):
    """Scores coarse pictures, and trains on coarse and fine ones.

    In every step of `fit` the learner sees the super-batch at a low
    resolution, without gradients, and a policy picks the sub-batch from what
    it loses there and from what the reference loses. A share of the sub-batch
    is trained at the low resolution, too, in one loss and with the same
    weights as the rest, so that coarse scores come to tell what fine ones
    would. Everything else is as in `keras_jest.JESTModel`; `evaluate` and
    `predict` are the learner's own, at the fine resolution.

    It pays with a reference that was run once, such as
    `keras_jest.models.Precomputed`: it sees fine pictures. Whether coarse
    scores say what fine ones would is told by
    `keras_jest.callbacks.RankAgreement`.

    Any learner will do that takes pictures of two sizes:

    - a `keras_jest.models.SigLIP` (or `ImageTransformer` in a `DualEncoder`)
      with `patch_sizes`: pictures stay, patches grow;
    - towers or classifiers that end in global pooling: pictures shrink. Each
      new pixel is the mean of what it covers, a float: an input that is
      declared as uint8 would cut its fraction off.

    The moving statistics of batch normalization are those of fine pictures.
    What layers add by `add_loss` is added by the coarse and by the fine pass:
    sums over rows come out right, means count twice.

    Args:
        learner: Keras model, the one to train. Its pictures are the inputs
            with four axes, `(n, height, width, channels)`.
        reference: Keras model or `None`, as in `keras_jest.JESTModel`.
        coarse_size: int, side of the coarse pictures, in pixels: half of
            the fine ones is the paper's. A flexible learner of patch size
            `p` and pictures of side `s` needs `p * s / coarse_size` among
            its `patch_sizes`.
        coarse_share: float in [0, 1), the share of a sub-batch that is
            trained at the coarse size; its rows are spread evenly. With 0
            all are trained at the fine size.
        seed: int or `None`. The same seed, data and weights give the same
            picks on every backend. With `None` one is drawn, and kept.
        policy: `keras.layers.Layer` or `None`, as in `keras_jest.JESTModel`.
        score_delay: int, 0 or 1, as in `keras_jest.JESTModel`.
        name: str, the name of the model.
        **kwargs: further arguments of `keras.Model`.

    Raises:
        ValueError: if the coarse size is no int of at least 1, the share is
            outside [0, 1), or as in `keras_jest.JESTModel`; in the first
            step, before anything is trained, if the learner cannot see
            pictures of that size or the sub-batch is too small to be split.

    Example:

    ```python
    import numpy as np
    from keras_jest import FlexiJEST
    from keras_jest.losses import SigmoidContrastiveLoss
    from keras_jest.models import SigLIP

    def siglip(**kwargs):
        return SigLIP.from_variant(
            "mu/4", image_size=16, vocabulary_size=9, sequence_length=4,
            **kwargs,
        )

    learner = siglip(patch_sizes=(4, 8))
    model = FlexiJEST(learner, siglip(), coarse_size=8, seed=0)
    model.compile("adam", loss=SigmoidContrastiveLoss(), selection="joint")
    rng = np.random.default_rng(0)
    pool = {
        "images": rng.integers(0, 256, (40, 16, 16, 3), "uint8"),
        "token_ids": rng.integers(0, 9, (40, 4), "int32"),
    }
    model.fit(pool, batch_size=20, verbose=0)  # trains on 4 of each 20
    ```

    Reference:
        - [Evans et al., 2024](https://arxiv.org/abs/2406.17711), section 3.3
        - [Beyer et al., 2023](https://arxiv.org/abs/2212.08013), FlexiViT
    """

    def __init__(
        self,
        learner: keras.Model,
        reference: keras.Model | None = None,
        coarse_size: int | None = None,
        coarse_share: float = 0.5,
        seed: int | None = None,
        policy: keras.layers.Layer | None = None,
        score_delay: int = 0,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_coarse(coarse_size, coarse_share)
        super().__init__(
            learner,
            reference=reference,
            seed=seed,
            policy=policy,
            score_delay=score_delay,
            name=name,
            **kwargs,
        )
        self.coarse_size = coarse_size
        self.coarse_share = coarse_share
        self._agreement: ScoreAgreement | None = None

    @property
    def looks(self) -> dict[str, Callable[..., Any]]:
        learner = coarsely(self.learner, self.coarse_size)
        return {**super().looks, "learner": learner}

    def run_learner(self, inputs: Any, training: bool | None) -> Any:
        if not training:
            return super().run_learner(inputs, training)
        if self.awaits_first_super_batch:
            # Keras calls it, with nothing in it, before there is a batch.
            check_sees_coarsely(self.learner, inputs, self.coarse_size)
        return in_two_sizes(
            self.learner, inputs, self.coarse_size, self.coarse_share
        )

    def passes(self, inputs: Any) -> list[ModelPass]:
        """As for every selecting model, and what training finely would be."""
        fine, *others = super().passes(inputs)

        def look(rows):
            rows = model_inputs(self.learner, rows, "learner")
            return in_two_sizes(
                self.learner, rows, self.coarse_size, self.coarse_share
            )

        own = fine._replace(look=look)
        return [own, *others, fine._replace(term=UNIFORM)]

    def check_first_super_batch(self, x: Any) -> None:
        super().check_first_super_batch(x)
        num_rows = keras.tree.flatten(x)[0].shape[0]
        if self.selection is not None:
            num_rows = self.selection.num_kept(num_rows)
        check_split(num_rows, self.coarse_share)
        inputs = model_inputs(self.learner, x, "learner")
        check_sees_coarsely(self.learner, inputs, self.coarse_size)

    def compare_scores(self, super_batch: Any) -> dict[str, float]:
        """Tell whether coarse scores say what fine ones would.

        It costs a fine scoring pass, and changes nothing in the model (on
        torch Keras' `predict` draws from torch's own generator, as layers
        without a seed do). The first call compiles it.

        Args:
            super_batch: what the dataset yields, as arrays; a part of a
                super-batch will do.

        Returns:
            A dict of floats: `"rank_agreement"`, as
            `keras_jest.evaluation.rank_agreement` of the scores of the rows
            by themselves, and `"equal_picks"`, the share of picks that the
            policy has in common in both cases, by the same draws.

        Raises:
            ValueError: if the policy of the model reads no losses of the
                learner.
        """
        needs = getattr(self.selection, "needs", ())
        if "learner" not in needs:
            raise ValueError(
                "Coarse and fine scores are compared where the learner "
                "scores. Received: a model with "
                f"selection={self.selection}, which reads the losses of "
                f"{list(needs)}"
            )
        if self._agreement is None:
            self._agreement = ScoreAgreement(self)
        return self._agreement(super_batch)

    def get_selection_settings(self) -> dict[str, Any]:
        return {**super().get_selection_settings(), **self._sizes}

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), **self._sizes}
        del config["online"], config["train_reference"]
        return config

    @property
    def _sizes(self):
        names = ("coarse_size", "coarse_share")
        return {name: getattr(self, name) for name in names}


def check_coarse(coarse_size, coarse_share):
    """Raise unless these can be a size and a share."""
    is_int = isinstance(coarse_size, numbers.Integral)
    if not is_int or coarse_size < 1:
        raise ValueError(
            "`coarse_size` must be an int of at least 1, the side of the "
            "pictures that are scored, in pixels; half of that of the fine "
            f"ones is usual. Received: coarse_size={coarse_size}"
        )
    is_number = isinstance(coarse_share, numbers.Real)
    if not is_number or not 0 <= coarse_share < 1:
        raise ValueError(
            "`coarse_share` must be from 0, to train on fine pictures alone, "
            "to below 1: what is evaluated on fine pictures must be trained "
            f"on some. Received: coarse_share={coarse_share}"
        )


def check_split(num_rows, coarse_share):
    """Raise if a part of a sub-batch is empty, or no devices' share."""
    coarse, fine = interleaved(num_rows, coarse_share)
    if coarse_share and not (len(coarse) and len(fine)):
        raise ValueError(
            "The sub-batch is too small to be split into coarse and fine "
            f"pictures. Received: a sub-batch of {num_rows} rows, "
            f"coarse_share={coarse_share}. Keep more rows, or set "
            "`coarse_share=0`."
        )
    if len(coarse) % num_devices() or len(fine) % num_devices():
        raise ValueError(
            "The coarse and the fine part of a sub-batch must both divide by "
            f"the number of devices. Received: {len(coarse)} coarse and "
            f"{len(fine)} fine rows, coarse_share={coarse_share}, "
            f"devices={num_devices()}. Set another `sub_batch_size` in the "
            "policy."
        )
