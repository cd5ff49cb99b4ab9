"""The two dense layers of a transformer block."""

from typing import Any

import keras
from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.layers.keeps_sublayers import KeepsSublayers
from keras_jest.types import Shape
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.layers.MLP")
class MLP(KeepsSublayers, keras.layers.Layer):
    """Widens tokens, applies the tanh GELU and narrows them again.

    Kernels start Xavier-uniform and biases normal with standard deviation
    1e-6, as in the SigLIP and ViT papers' code.

    Args:
        hidden_dim: int. The width between the two dense layers.
        **kwargs: Passed to `keras.layers.Layer`, such as `dtype`, `name`.

    Call arguments:
        inputs: Tensor of shape `(..., width)`.

    Returns:
        A tensor of the shape of `inputs`.

    Example:

    ```python
    import numpy as np
    from keras_jest.layers import MLP

    tokens = MLP(hidden_dim=32)(np.ones((2, 4, 8), "float32"))
    print(tokens.shape)  # (2, 4, 8)
    ```

    Reference:
        - [An Image is Worth 16x16 Words](https://arxiv.org/abs/2010.11929),
          equation 3 and appendix A.
    """

    def __init__(self, hidden_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim

    def build(self, input_shape: Shape) -> None:
        self.hidden = self._dense(self.hidden_dim, "hidden")
        self.hidden.build(input_shape)
        self.output_dense = self._dense(input_shape[-1], "output")
        self.output_dense.build((*input_shape[:-1], self.hidden_dim))
        self.sublayers_are_made()

    def _dense(self, units, name):
        return keras.layers.Dense(
            units,
            kernel_initializer="glorot_uniform",
            bias_initializer=keras.initializers.RandomNormal(stddev=1e-6),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, inputs: Tensor) -> Tensor:
        hidden = ops.gelu(self.hidden(inputs), approximate=True)
        return self.output_dense(hidden)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hidden_dim": self.hidden_dim}
