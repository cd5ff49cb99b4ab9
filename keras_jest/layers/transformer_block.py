"""The block of which both towers of SigLIP are made."""

from typing import Any

import keras
from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.layers.keeps_sublayers import KeepsSublayers
from keras_jest.layers.mlp import MLP
from keras_jest.layers.multi_head_attention import multi_head_attention
from keras_jest.types import Shape
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.layers.TransformerBlock")
class TransformerBlock(KeepsSublayers, keras.layers.Layer):
    """Self-attention and an MLP, each on normalised tokens, each added.

    `x + Attention(LayerNorm(x))`, then `x + MLP(LayerNorm(x))`: pre-norm,
    every token sees every token, no mask and no dropout.

    Args:
        num_heads: int. The number of attention heads; must divide the width
            of the tokens.
        mlp_dim: int. The hidden width of the MLP.
        **kwargs: Passed to `keras.layers.Layer`, such as `dtype`, `name`.

    Call arguments:
        inputs: Tensor of shape `(n, tokens, width)`.

    Returns:
        A tensor of the shape of `inputs`.

    Raises:
        ValueError: If `num_heads` does not divide the width.

    Example:

    ```python
    import numpy as np
    from keras_jest.layers import TransformerBlock

    block = TransformerBlock(num_heads=2, mlp_dim=32)
    print(block(np.ones((3, 4, 8), "float32")).shape)  # (3, 4, 8)
    ```

    Reference:
        - [An Image is Worth 16x16 Words](https://arxiv.org/abs/2010.11929),
          section 3.1.
    """

    def __init__(self, num_heads: int, mlp_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim

    def build(self, input_shape: Shape) -> None:
        self.attention_norm = self._norm("attention_norm")
        self.attention_norm.build(input_shape)
        self.attention = multi_head_attention(
            self.num_heads, input_shape[-1], self.dtype_policy
        )
        self.attention.build(input_shape, input_shape)
        self.mlp_norm = self._norm("mlp_norm")
        self.mlp_norm.build(input_shape)
        self.mlp = MLP(self.mlp_dim, dtype=self.dtype_policy, name="mlp")
        self.mlp.build(input_shape)
        self.sublayers_are_made()

    def _norm(self, name):
        return keras.layers.LayerNormalization(
            epsilon=1e-6, dtype=self.dtype_policy, name=name
        )

    def call(self, inputs: Tensor) -> Tensor:
        normalised = self.attention_norm(inputs)
        # Not by `+`: TensorFlow adds no numbers of two precisions.
        tokens = ops.add(inputs, self.attention(normalised, normalised))
        return ops.add(tokens, self.mlp(self.mlp_norm(tokens)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
        }
