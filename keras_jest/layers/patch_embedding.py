"""Pictures to tokens."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.layers.flexible_projection import FlexibleProjection
from keras_jest.layers.keeps_sublayers import KeepsSublayers
from keras_jest.layers.patch_sizes import check_divide
from keras_jest.layers.patch_sizes import checked_patch_sizes
from keras_jest.layers.patch_sizes import chosen_patch_size
from keras_jest.layers.resize_axis import resize_axis
from keras_jest.layers.resize_matrices import bilinear_matrix
from keras_jest.types import Shape
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.layers.PatchEmbedding")
class PatchEmbedding(KeepsSublayers, keras.layers.Layer):
    """Cuts images into square patches and embeds each with its position.

    Pixels that fill no whole patch at the right and lower edge are left
    out, so 384 pixels in patches of 14 give 27 x 27 tokens. There is no
    class token.

    With `patch_sizes` each call can choose the size of its patches, as in
    FlexiViT. There is one kernel, that of the largest size; for another size
    it is resized in the call by the pseudo-inverse of bilinear resizing (for
    half the size: two by two weights are summed). The positions are those of
    the grid of `patch_size`; for another grid they are resized in the call,
    linearly and with antialiasing. Nothing is overwritten, and gradients go
    to what is stored. The kernel starts as that of a plain layer of the
    largest size, which makes it start as one of half the size, too, whatever
    the width; in FlexiViT's own code its deviation is `1 / sqrt(width)`.

    Args:
        patch_size: int. The side of a patch, in pixels.
        width: int. The width of the tokens.
        patch_sizes: Ints: all sizes that a call may ask for, `patch_size`
            among them. Patches of every size must fill the images. `None`
            means `patch_size` alone.
        **kwargs: Passed to `keras.layers.Layer`, such as `dtype`, `name`.

    Call arguments:
        inputs: Tensor of shape `(n, height, width, channels)`, already
            rescaled. Height and width are fixed by the first call.
        patch_size: int. One of `patch_sizes`; `None` means the layer's own.

    Returns:
        A tensor of shape `(n, num_patches, width)`, patches row by row.

    Raises:
        ValueError: If the images are smaller than a patch or their size is
            unknown, `patch_sizes` lacks `patch_size` or has sizes that do
            not divide the images, or a call asks for another size.

    Example:

    ```python
    import numpy as np
    from keras_jest.layers import PatchEmbedding

    embed = PatchEmbedding(patch_size=8, width=12)
    print(embed(np.zeros((2, 32, 32, 3), "float32")).shape)  # (2, 16, 12)

    embed = PatchEmbedding(patch_size=8, width=12, patch_sizes=(8, 16))
    images = np.zeros((2, 32, 32, 3), "float32")
    print(embed(images, patch_size=16).shape)  # (2, 4, 12)
    ```

    Reference:
        - [An Image is Worth 16x16 Words](https://arxiv.org/abs/2010.11929),
          section 3.1.
        - [FlexiViT: One Model for All Patch Sizes](
          https://arxiv.org/abs/2212.08013).
    """

    def __init__(
        self,
        patch_size: int,
        width: int,
        patch_sizes: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.width = width
        self.patch_sizes = checked_patch_sizes(patch_size, patch_sizes)

    def build(self, input_shape: Shape) -> None:
        num_patches = math.prod(self._grid(input_shape, self.patch_size))
        if self.patch_sizes is not None:
            check_divide(self.patch_sizes, input_shape[1:3])
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))
        self.projection = self._make_projection()
        self.projection.build(input_shape)
        self.position_embedding = self.add_weight(
            shape=(1, num_patches, self.width),
            initializer=keras.initializers.RandomNormal(
                stddev=1.0 / math.sqrt(self.width)
            ),
            # A grid that is to be resized is not rounded before.
            autocast=self.patch_sizes is None,
            name="position_embedding",
        )
        self.sublayers_are_made()

    def _make_projection(self):
        kwargs = {"dtype": self.dtype_policy, "name": "projection"}
        if self.patch_sizes is not None:
            return FlexibleProjection(
                self.width, max(self.patch_sizes), **kwargs
            )
        return keras.layers.Conv2D(
            self.width,
            self.patch_size,
            strides=self.patch_size,
            data_format="channels_last",
            kernel_initializer="lecun_normal",
            **kwargs,
        )

    def _grid(self, input_shape, patch_size):
        """How many patches of a size stand below and beside one another."""
        height, width = input_shape[1:3]
        if min(height or 0, width or 0) < patch_size:
            raise ValueError(
                "Images must have a known size of at least one patch. "
                f"Received: images of shape {tuple(input_shape)}, "
                f"patch_size={patch_size}"
            )
        return height // patch_size, width // patch_size

    def call(self, inputs: Tensor, patch_size: int | None = None) -> Tensor:
        size = chosen_patch_size(self, patch_size)
        if self.patch_sizes is None:
            patches = self.projection(inputs)
            positions = self.position_embedding
        else:
            patches = self.projection(inputs, patch_size=size)
            positions = self._positions(inputs.shape, size)
        num_patches = positions.shape[1]
        tokens = ops.reshape(patches, (-1, num_patches, self.width))
        return ops.add(tokens, positions)

    def _positions(self, input_shape, patch_size):
        """The positions of a grid, and the stored ones of the layer's own."""
        positions = self.position_embedding
        stored = self._grid(input_shape, self.patch_size)
        wanted = self._grid(input_shape, patch_size)
        if wanted != stored:
            positions = ops.reshape(positions, (*stored, self.width))
            for axis in (0, 1):
                matrix = bilinear_matrix(
                    stored[axis], wanted[axis], antialias=True
                )
                positions = resize_axis(positions, matrix, axis)
            positions = ops.reshape(positions, (1, -1, self.width))
        return ops.cast(positions, self.compute_dtype)

    def compute_output_shape(
        self, input_shape: Shape, patch_size: int | None = None
    ) -> Shape:
        size = chosen_patch_size(self, patch_size)
        num_patches = math.prod(self._grid(input_shape, size))
        return (input_shape[0], num_patches, self.width)

    def compute_output_spec(
        self, inputs: keras.KerasTensor, patch_size: int | None = None
    ) -> keras.KerasTensor:
        shape = self.compute_output_shape(inputs.shape, patch_size)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config = {
            **super().get_config(),
            "patch_size": self.patch_size,
            "width": self.width,
        }
        if self.patch_sizes is not None:
            config["patch_sizes"] = list(self.patch_sizes)
        return config
