"""Token ids to tokens."""

import math
from typing import Any

import keras
from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.layers.keeps_sublayers import KeepsSublayers
from keras_jest.types import Shape
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.layers.TokenEmbedding")
class TokenEmbedding(KeepsSublayers, keras.layers.Layer):
    """Looks up a vector per token id and adds one per position.

    Both tables start normal with standard deviation `1 / sqrt(width)`. The
    length is fixed, as SigLIP's text tower needs it: pad every text to it.

    Args:
        vocabulary_size: int. The number of token ids; ids are from 0 to
            `vocabulary_size - 1`.
        width: int. The width of the tokens.
        **kwargs: Passed to `keras.layers.Layer`, such as `dtype`, `name`.

    Call arguments:
        inputs: int tensor of shape `(n, length)`. The length is fixed by
            the first call.

    Returns:
        A tensor of shape `(n, length, width)`.

    Raises:
        ValueError: If the length is unknown.

    Example:

    ```python
    import numpy as np
    from keras_jest.layers import TokenEmbedding

    embed = TokenEmbedding(vocabulary_size=100, width=8)
    print(embed(np.zeros((2, 16), "int32")).shape)  # (2, 16, 8)
    ```

    Reference:
        - [Sigmoid Loss for Language Image Pre-Training](
          https://arxiv.org/abs/2303.15343).
    """

    def __init__(self, vocabulary_size: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.width = width

    def build(self, input_shape: Shape) -> None:
        length = input_shape[-1]
        if length is None:
            raise ValueError(
                "Texts must have a known length: pad them all to the same. "
                f"Received: token ids of shape {tuple(input_shape)}"
            )
        self.input_spec = keras.layers.InputSpec(shape=(None, length))
        deviation = 1.0 / math.sqrt(self.width)
        self.tokens = keras.layers.Embedding(
            self.vocabulary_size,
            self.width,
            embeddings_initializer=keras.initializers.RandomNormal(
                stddev=deviation
            ),
            dtype=self.dtype_policy,
            name="tokens",
        )
        self.tokens.build(input_shape)
        self.position_embedding = self.add_weight(
            shape=(1, length, self.width),
            initializer=keras.initializers.RandomNormal(stddev=deviation),
            name="position_embedding",
        )
        self.sublayers_are_made()

    def call(self, inputs: Tensor) -> Tensor:
        return ops.add(self.tokens(inputs), self.position_embedding)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.width)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "width": self.width,
        }
