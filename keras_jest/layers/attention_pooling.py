"""Pooling by a learned query: the head of SigLIP's image tower."""

from typing import Any

import keras
from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.layers.keeps_sublayers import KeepsSublayers
from keras_jest.layers.mlp import MLP
from keras_jest.layers.multi_head_attention import multi_head_attention
from keras_jest.types import Shape
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.layers.AttentionPooling")
class AttentionPooling(KeepsSublayers, keras.layers.Layer):
    """Pools tokens into one vector by the attention of a learned probe.

    `y = Attention(probe, tokens)`, then `y + MLP(LayerNorm(y))`. Around the
    attention there is no residual: the probe asks, and only what the tokens
    answer goes on.

    Args:
        num_heads: int. The number of attention heads; must divide the width
            of the tokens.
        mlp_dim: int. The hidden width of the MLP.
        **kwargs: Passed to `keras.layers.Layer`, such as `dtype`, `name`.

    Call arguments:
        inputs: Tensor of shape `(n, tokens, width)`.

    Returns:
        A tensor of shape `(n, width)`.

    Raises:
        ValueError: If `num_heads` does not divide the width.

    Example:

    ```python
    import numpy as np
    from keras_jest.layers import AttentionPooling

    pooling = AttentionPooling(num_heads=2, mlp_dim=32)
    print(pooling(np.ones((3, 16, 8), "float32")).shape)  # (3, 8)
    ```

    Reference:
        - [Scaling Vision Transformers](https://arxiv.org/abs/2106.04560),
          section 3.2.
        - [Sigmoid Loss for Language Image Pre-Training](
          https://arxiv.org/abs/2303.15343).
    """

    def __init__(self, num_heads: int, mlp_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim

    def build(self, input_shape: Shape) -> None:
        width = input_shape[-1]
        probe_shape = (1, 1, width)
        self.probe = self.add_weight(
            shape=probe_shape, initializer="glorot_uniform", name="probe"
        )
        self.attention = multi_head_attention(
            self.num_heads, width, self.dtype_policy
        )
        self.attention.build(probe_shape, input_shape)
        self.norm = keras.layers.LayerNormalization(
            epsilon=1e-6, dtype=self.dtype_policy, name="norm"
        )
        self.norm.build(probe_shape)
        self.mlp = MLP(self.mlp_dim, dtype=self.dtype_policy, name="mlp")
        self.mlp.build(probe_shape)
        self.sublayers_are_made()

    def call(self, inputs: Tensor) -> Tensor:
        shape = (ops.shape(inputs)[0], *self.probe.shape[1:])
        # `ops.repeat` would not be exported for batches of any size on torch.
        probe = ops.broadcast_to(self.probe, shape)
        pooled = self.attention(probe, inputs)
        pooled = ops.add(pooled, self.mlp(self.norm(pooled)))
        return ops.squeeze(pooled, axis=1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
        }
