"""The text tower of SigLIP."""

from typing import Any

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.layers.keeps_sublayers import KeepsSublayers
from keras_jest.layers.token_embedding import TokenEmbedding
from keras_jest.layers.transformer_block import TransformerBlock
from keras_jest.models.encoder_flops import encoder_flops
from keras_jest.models.expected_units import expected_units
from keras_jest.models.exports import Exports
from keras_jest.models.portable_config import portable_config
from keras_jest.types import Shape
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.models.TextTransformer")
class TextTransformer(Exports, KeepsSublayers, keras.Model):
    """Transformer over token ids: texts to embeddings.

    The text tower of SigLIP: no causal mask and no padding mask, so padding
    is seen like any token; the last position is the one that is read. So
    every text must be padded to `sequence_length`, and a longer one cut so
    that its end token stays last.

    Args:
        vocabulary_size: int. The number of token ids.
        sequence_length: int. The length of every text, in tokens.
        width: int. The width of the tokens.
        depth: int. The number of blocks.
        num_heads: int. The number of attention heads; `None` means heads
            that are 64 wide, or one head.
        mlp_dim: int. The hidden width of the MLPs; `None` means four times
            `width`.
        embedding_dim: int. The width of the embedding, which must be that
            of the image tower; `None` means `width`.
        **kwargs: Passed to `keras.Model`, such as `dtype`, `name`.

    Call arguments:
        inputs: int tensor of shape `(n, sequence_length)`.

    Returns:
        A tensor of shape `(n, embedding_dim)`.

    Example:

    ```python
    import numpy as np
    from keras_jest.models import TextTransformer

    tower = TextTransformer(100, sequence_length=8, width=16, depth=1)
    print(tower(np.zeros((2, 8), "int32")).shape)  # (2, 16)
    print(tower.forward_flops)  # for one text
    ```

    Reference:
        - [Sigmoid Loss for Language Image Pre-Training](
          https://arxiv.org/abs/2303.15343).
    """

    input_dtypes = "int32"

    def __init__(
        self,
        vocabulary_size: int,
        sequence_length: int,
        width: int = 768,
        depth: int = 12,
        num_heads: int | None = None,
        mlp_dim: int | None = None,
        embedding_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.sequence_length = sequence_length
        self.width = width
        self.depth = depth
        self.num_heads = num_heads or max(1, width // 64)
        self.mlp_dim = mlp_dim or 4 * width
        self.embedding_dim = embedding_dim or width
        self.embedding = TokenEmbedding(
            vocabulary_size, width, dtype=self.dtype_policy, name="embedding"
        )
        self.blocks = [
            TransformerBlock(
                self.num_heads,
                self.mlp_dim,
                dtype=self.dtype_policy,
                name=f"block_{index}",
            )
            for index in range(depth)
        ]
        self.norm = keras.layers.LayerNormalization(
            epsilon=1e-6, dtype=self.dtype_policy, name="norm"
        )
        self.head = keras.layers.Dense(
            self.embedding_dim,
            kernel_initializer="lecun_normal",
            dtype=self.dtype_policy,
            name="head",
        )
        self.build((None, sequence_length))

    def build(self, input_shape: Shape) -> None:
        self.embedding.build(input_shape)
        shape = self.embedding.compute_output_shape(input_shape)
        for layer in (*self.blocks, self.norm):
            layer.build(shape)
        self.head.build((shape[0], shape[-1]))
        self.sublayers_are_made()

    def call(self, inputs: Tensor) -> Tensor:
        tokens = self.embedding(inputs)
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(self.norm(tokens[:, -1]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.embedding_dim)

    @property
    def expected_units(self) -> list[Any]:
        return expected_units(self.embedding)

    @property
    def forward_flops(self) -> int:
        """FLOPs of one text's forward pass, two per multiply-add.

        Norms, softmax, GELU and the lookup are left out, as is usual.
        """
        encoder = encoder_flops(
            self.sequence_length, self.width, self.mlp_dim, self.depth
        )
        return encoder + 2 * self.width * self.embedding_dim

    def get_compile_config(self) -> dict[str, Any]:
        return portable_config(super().get_compile_config())

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "sequence_length": self.sequence_length,
            "width": self.width,
            "depth": self.depth,
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "embedding_dim": self.embedding_dim,
        }
