"""A reference whose losses come with the batch."""

from collections.abc import Mapping
from typing import Any
from typing import Self

import keras
import numpy as np
from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.data.reference_join import reference_digest
from keras_jest.data.reference_store import ReferenceStore
from keras_jest.losses.loss_given_set import given
from keras_jest.models.model_inputs import model_inputs
from keras_jest.models.model_inputs import take_inputs
from keras_jest.types import Shape
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.models.PrecomputedLosses")
class PrecomputedLosses(keras.Model):
    """Stands for a reference that was run once over the data.

    The data keeps the reference's loss of each example, as
    `keras_jest.models.precompute_losses` makes them, and no reference runs
    beside the learner. Examples must be the same then and now: a reference
    that saw other augmentations scores those.

    Args:
        input_key: str, the entry of a batch that holds the losses.
        store_digest: str or `None`, which `from_store` sets: what a store
            gives that is joined to the batches. `fit` refuses another's.
        **kwargs: further arguments of `keras.Model`.

    Call arguments:
        inputs: dict with `input_key`, a float32 tensor of shape `(n,)`.

    Returns:
        The losses.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_jest import ClassAct
    from keras_jest.models import PrecomputedLosses
    from keras_jest.models import precompute_losses

    def classifier():
        return keras.Sequential(
            [keras.Input((4,), name="features"), keras.layers.Dense(3)]
        )

    rng = np.random.default_rng(0)
    x = {"features": rng.normal(size=(60, 4)).astype("float32")}
    y = rng.integers(0, 3, 60)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    reference = classifier()  # trained on data that was held out
    x["reference_loss"] = precompute_losses(reference, x, y, loss)
    model = ClassAct(classifier(), reference=PrecomputedLosses())
    model.compile("adam", loss=loss)
    model.fit(x, y, batch_size=20, verbose=0)
    ```

    Reference:
        - [Mindermann et al., 2022](https://arxiv.org/abs/2206.07137), where
          they are called irreducible losses.
    """

    def __init__(
        self,
        input_key: str = "reference_loss",
        store_digest: str | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.input_key = input_key
        self.input_keys = (input_key,)
        self.store_digest = store_digest
        self.built = True

    @classmethod
    def from_store(cls, store: ReferenceStore, **kwargs: Any) -> Self:
        """The reference whose losses a store holds.

        Args:
            store: `keras_jest.data.ReferenceStore`, whose losses are joined
                to the batches by `super_batches(..., reference=store)`.
            **kwargs: Passed to `keras.Model`, such as `name`.
        """
        if store.logit_scale is not None:
            raise ValueError(
                "Expected a store of losses. That of embeddings is read by "
                f"`Precomputed.from_store`. Received: {store.path!r} with "
                f"{store.metadata}"
            )
        return cls(store_digest=reference_digest(store), **kwargs)

    def call(self, inputs: Mapping[str, Tensor]) -> Tensor:
        (losses,) = take_inputs(self, inputs)
        if len(losses.shape) != 1:
            raise ValueError(
                "Losses that come with a batch must be one number per "
                f"example. Received: {self.input_key} of shape "
                f"{tuple(losses.shape)}"
            )
        return ops.cast(losses, "float32")

    def compute_output_shape(self, input_shape: Mapping[str, Shape]) -> Shape:
        return input_shape[self.input_key]

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "input_key": self.input_key}
        if self.store_digest is not None:
            config["store_digest"] = self.store_digest
        return config


@keras_jest_export("keras_jest.models.precompute_losses")
def precompute_losses(
    reference: keras.Model,
    x: Any,
    y: Any,
    loss: keras.losses.Loss,
    batch_size: int = 256,
    verbose: int = 1,
) -> np.ndarray:
    """The loss of a reference on every example by itself.

    Args:
        reference: Keras model.
        x: array of shape `(n, ...)`, or a dict of them; a reference gets the
            entries that it names.
        y: array of shape `(n, ...)`, the targets, or `None`.
        loss: `keras.losses.Loss` with one value per example, the one that
            the learner is scored by.
        batch_size: int, how many examples to look at at a time.
        verbose: 0 or 1, whether a progress bar is shown.

    Returns:
        float32 array of shape `(n,)`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_jest.models import precompute_losses

    reference = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    x, y = np.ones((8, 4), "float32"), np.zeros(8, "int32")
    losses = precompute_losses(reference, x, y, loss)  # of shape (8,)
    ```
    """
    inputs = model_inputs(reference, x, "reference")
    num_rows = len(keras.tree.flatten(inputs)[0])
    progress = keras.utils.Progbar(
        num_rows, verbose=verbose, unit_name="example"
    )
    losses = []
    for first in range(0, num_rows, batch_size):
        rows = slice(first, first + batch_size)
        outputs = reference.predict_on_batch(
            keras.tree.map_structure(lambda of: of[rows], inputs)  # noqa: B023
        )
        targets = None if y is None else y[rows]
        values = given(loss, outputs, targets).values
        losses.append(ops.convert_to_numpy(values))
        progress.update(min(first + batch_size, num_rows))
    return np.concatenate(losses).astype("float32")
