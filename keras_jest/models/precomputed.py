"""A reference that is run once and never again."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Self

import keras
import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.reference_join import reference_digest
from keras_jest.data.reference_store import ReferenceStore
from keras_jest.models.model_inputs import model_inputs
from keras_jest.models.model_inputs import take_inputs
from keras_jest.models.pairs import make_pairs
from keras_jest.models.pairs import pairs_shape
from keras_jest.types import Pairs
from keras_jest.types import Shape
from keras_jest.types import Tensor

KEYS = ("reference_image_embedding", "reference_text_embedding")


@keras_jest_export("keras_jest.models.Precomputed")
class Precomputed(keras.Model):
    """A reference whose embeddings come with the batch.

    A reference is frozen, so its pairs never change: `precompute()` runs it
    once over a pool, and every later run reads its embeddings as two more
    entries of the batch. They can be kept as float16: at a scale of 110 the
    logits are off by 0.001. This holds only while the learner is shown what
    the reference was shown: no random augmentation, the same caption.

    Args:
        logit_scale: float. The scale of the reference.
        logit_bias: float. The bias of the reference, 0 if it has none.
        input_keys: Two strings: the names of the image and of the text
            embeddings in a batch.
        store_digest: str or `None`, which `from_store` sets: what a store
            gives that is joined to the batches. `fit` refuses another's.
        **kwargs: Passed to `keras.Model`, such as `name`.

    Call arguments:
        inputs: A dict that holds the two entries named by `input_keys`, of
            shape `(n, d)`, float16 or float32.

    Returns:
        Pairs, as `DualEncoder` does: always float32, rows of length 1.

    Raises:
        ValueError: If a batch lacks an embedding.

    Example:

    ```python
    import numpy as np
    from keras_jest.models import Precomputed

    reference = Precomputed(logit_scale=10.0, logit_bias=-10.0)
    pairs = reference(
        {
            "reference_image_embedding": np.ones((2, 4), "float16"),
            "reference_text_embedding": np.ones((2, 4), "float16"),
        }
    )
    print(pairs["text_embedding"])  # 0.5 everywhere
    ```

    Reference:
        - [Data curation via joint example selection further accelerates
          multimodal learning](https://arxiv.org/abs/2406.17711).
    """

    def __init__(
        self,
        logit_scale: float,
        logit_bias: float = 0.0,
        input_keys: Sequence[str] = KEYS,
        store_digest: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Nothing is computed here that a lower precision could speed up.
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.logit_scale = logit_scale
        self.logit_bias = logit_bias
        self.input_keys = tuple(input_keys)
        self.store_digest = store_digest
        self.built = True

    @classmethod
    def from_store(cls, store: ReferenceStore, **kwargs: Any) -> Self:
        """The reference whose pairs a store holds.

        Args:
            store: `keras_jest.data.ReferenceStore`, whose arrays are joined
                to the batches by `super_batches(..., reference=store)`.
            **kwargs: Passed to `keras.Model`, such as `name`.
        """
        if store.logit_scale is None:
            raise ValueError(
                "Expected a store of embeddings. That of losses is read by "
                "`PrecomputedLosses.from_store`. Received: "
                f"{store.path!r} with {store.metadata}"
            )
        return cls(
            store.logit_scale,
            store.logit_bias or 0.0,
            store_digest=reference_digest(store),
            **kwargs,
        )

    def call(self, inputs: Mapping[str, Tensor]) -> Pairs:
        image_embedding, text_embedding = take_inputs(self, inputs)
        return make_pairs(
            image_embedding, text_embedding, self.logit_scale, self.logit_bias
        )

    def compute_output_shape(
        self, input_shape: Mapping[str, Shape]
    ) -> dict[str, Shape]:
        return pairs_shape(*take_inputs(self, input_shape))

    def get_config(self) -> dict[str, Any]:
        config = {
            **super().get_config(),
            "logit_scale": self.logit_scale,
            "logit_bias": self.logit_bias,
            "input_keys": list(self.input_keys),
        }
        if self.store_digest is not None:
            config["store_digest"] = self.store_digest
        return config


@keras_jest_export("keras_jest.models.precompute")
def precompute(
    reference: keras.Model,
    pool: Any,
    batch_size: int = 256,
    dtype: str = "float16",
    verbose: str | int = "auto",
) -> tuple[dict[str, np.ndarray], Precomputed]:
    """Run a reference once over a pool and keep what it says.

    Args:
        reference: A model that returns pairs, such as a `SigLIP`.
        pool: A dict of arrays with the inputs of `reference`, or a dataset
            of such dicts that yields the pool once, in the order in which
            the results are wanted, in batches.
        batch_size: int. Rows at a time, where `pool` is a dict of arrays.
        dtype: `"float16"` or `"float32"`: how the embeddings are kept.
        verbose: As in `keras.Model.predict`.

    Returns:
        A tuple `(arrays, precomputed)`: a dict of two arrays of shape
        `(n, d)`, to be added to the batches under its names, and the
        `Precomputed` that reads them in the place of `reference`.

    Example:

    ```python
    import numpy as np
    from keras_jest.models import SigLIP
    from keras_jest.models import precompute

    reference = SigLIP.from_variant(
        "mu/8", image_size=16, vocabulary_size=100, sequence_length=8
    )
    pool = {
        "images": np.zeros((4, 16, 16, 3), "uint8"),
        "token_ids": np.zeros((4, 8), "int32"),
    }
    arrays, reference = precompute(reference, pool, verbose=0)
    pairs = reference({**pool, **arrays})
    ```
    """
    size: int | None = None
    if isinstance(pool, dict):
        pool, size = model_inputs(reference, pool, "reference"), batch_size
    pairs = reference.predict(pool, batch_size=size, verbose=verbose)
    arrays = {
        f"reference_{side}_embedding": pairs[f"{side}_embedding"].astype(dtype)
        for side in ("image", "text")
    }
    scale, bias = (
        float(np.asarray(pairs[name])[0])
        for name in ("logit_scale", "logit_bias")
    )
    return arrays, Precomputed(scale, bias)
