"""The image tower of SigLIP."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.layers.attention_pooling import AttentionPooling
from keras_jest.layers.keeps_sublayers import KeepsSublayers
from keras_jest.layers.patch_embedding import PatchEmbedding
from keras_jest.layers.patch_sizes import checked_patch_sizes
from keras_jest.layers.patch_sizes import chosen_patch_size
from keras_jest.layers.transformer_block import TransformerBlock
from keras_jest.models.encoder_flops import encoder_flops
from keras_jest.models.exports import Exports
from keras_jest.models.portable_config import portable_config
from keras_jest.models.units import RescaledPictures
from keras_jest.types import Shape
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.models.ImageTransformer")
class ImageTransformer(Exports, KeepsSublayers, keras.Model):
    """Vision Transformer with attention pooling: pictures to embeddings.

    The image tower of SigLIP: patches with learned positions, pre-norm
    blocks, a last norm, then attention pooling whose output is the
    embedding. It rescales pictures from 0..255 to [-1, 1] itself, so that
    they can travel as uint8.

    With `patch_sizes` each call can choose the size of its patches, as in
    FlexiViT, with the same weights: coarse patches cost less, since they are
    fewer. `PatchEmbedding` says how; all else takes any number of tokens.
    What a model was not trained with it does badly: train it at all sizes.

    Args:
        image_size: int. Height and width of the images, in pixels.
        patch_size: int. The side of a patch, in pixels.
        width: int. The width of tokens and embedding.
        depth: int. The number of blocks.
        num_heads: int. The number of attention heads; `None` means heads
            that are 64 wide, or one head.
        mlp_dim: int. The hidden width of the MLPs; `None` means four times
            `width`.
        patch_sizes: Ints: all patch sizes that a call may ask for, among
            them `patch_size`, at which the model works else, as in
            `predict`. Each must divide `image_size`. `None` means
            `patch_size` alone.
        **kwargs: Passed to `keras.Model`, such as `dtype`, `name`.

    Call arguments:
        inputs: Tensor of shape `(n, image_size, image_size, 3)` with values
            from 0 to 255, uint8 or float.
        patch_size: int. One of `patch_sizes`; `None` means the model's own.

    Returns:
        A tensor of shape `(n, width)`.

    Raises:
        ValueError: If `patch_sizes` lacks `patch_size` or has sizes that do
            not divide `image_size`, or a call asks for another size.

    Example:

    ```python
    import numpy as np
    from keras_jest.models import ImageTransformer

    tower = ImageTransformer(32, patch_size=8, width=16, depth=1)
    print(tower(np.zeros((2, 32, 32, 3), "uint8")).shape)  # (2, 16)
    print(tower.forward_flops)  # for one image

    tower = ImageTransformer(
        32, patch_size=8, width=16, depth=1, patch_sizes=(8, 16)
    )
    coarse = tower(np.zeros((2, 32, 32, 3), "uint8"), patch_size=16)
    print(coarse.shape, tower.forward_flops_at(16))
    ```

    Reference:
        - [Sigmoid Loss for Language Image Pre-Training](
          https://arxiv.org/abs/2303.15343).
        - [Scaling Vision Transformers](https://arxiv.org/abs/2106.04560).
        - [FlexiViT: One Model for All Patch Sizes](
          https://arxiv.org/abs/2212.08013).
    """

    input_dtypes = "float32"

    def __init__(
        self,
        image_size: int,
        patch_size: int = 16,
        width: int = 768,
        depth: int = 12,
        num_heads: int | None = None,
        mlp_dim: int | None = None,
        patch_sizes: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        patch_sizes = checked_patch_sizes(patch_size, patch_sizes, image_size)
        super().__init__(**kwargs)
        self.image_size = image_size
        self.patch_size = patch_size
        self.width = width
        self.depth = depth
        self.num_heads = num_heads or max(1, width // 64)
        self.mlp_dim = mlp_dim or 4 * width
        self.patch_sizes = patch_sizes
        self.embedding = PatchEmbedding(
            patch_size,
            width,
            patch_sizes,
            dtype=self.dtype_policy,
            name="embedding",
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
        self.pooling = AttentionPooling(
            self.num_heads,
            self.mlp_dim,
            dtype=self.dtype_policy,
            name="pooling",
        )
        self.build((None, image_size, image_size, 3))

    def build(self, input_shape: Shape) -> None:
        self.embedding.build(input_shape)
        shape = self.embedding.compute_output_shape(input_shape)
        for layer in (*self.blocks, self.norm, self.pooling):
            layer.build(shape)
        self.sublayers_are_made()

    def call(self, inputs: Tensor, patch_size: int | None = None) -> Tensor:
        images = ops.cast(inputs, "float32") / 127.5 - 1.0
        tokens = self.embedding(images, patch_size=patch_size)
        for block in self.blocks:
            tokens = block(tokens)
        return self.pooling(self.norm(tokens))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.width)

    def compute_output_spec(
        self, inputs: keras.KerasTensor, patch_size: int | None = None
    ) -> keras.KerasTensor:
        chosen_patch_size(self, patch_size)
        return super().compute_output_spec(inputs)

    @property
    def expected_units(self) -> list[Any]:
        return [RescaledPictures(f"the model '{self.name}'")]

    @property
    def forward_flops(self) -> int:
        """FLOPs of one image's forward pass, two per multiply-add.

        Norms, softmax and GELU are left out, as is usual.
        """
        return self.forward_flops_at(self.patch_size)

    def forward_flops_at(self, patch_size: int) -> int:
        """FLOPs of one image's forward pass in patches of another size.

        Args:
            patch_size: int. One of `patch_sizes`, in pixels.

        Returns:
            int: FLOPs, as `forward_flops` counts them. What depends on no
            image, the resizing of the kernel, is left out, too.

        Raises:
            ValueError: If the model has no such patch size.
        """
        patch_size = chosen_patch_size(self, patch_size)
        tokens = (self.image_size // patch_size) ** 2
        width, mlp_dim = self.width, self.mlp_dim
        patches = 2 * tokens * patch_size**2 * 3 * width
        pooling = 2 * (
            2 * width**2
            + 2 * tokens * width**2
            + 2 * tokens * width
            + 2 * width * mlp_dim
        )
        encoder = encoder_flops(tokens, width, mlp_dim, self.depth)
        return patches + encoder + pooling

    def get_compile_config(self) -> dict[str, Any]:
        return portable_config(super().get_compile_config())

    def get_config(self) -> dict[str, Any]:
        config = {
            **super().get_config(),
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "width": self.width,
            "depth": self.depth,
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
        }
        if self.patch_sizes is not None:
            config["patch_sizes"] = list(self.patch_sizes)
        return config
