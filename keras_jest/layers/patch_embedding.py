"""Pictures to tokens."""

import math

import keras
from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.layers.keeps_sublayers import KeepsSublayers


@keras_jest_export("keras_jest.layers.PatchEmbedding")
class PatchEmbedding(KeepsSublayers, keras.layers.Layer):
    """Cuts images into square patches and embeds each with its position.

    Pixels that fill no whole patch at the right and lower edge are left
    out, so 384 pixels in patches of 14 give 27 x 27 tokens. There is no
    class token.

    Args:
        patch_size: int. The side of a patch, in pixels.
        width: int. The width of the tokens.
        **kwargs: Passed to `keras.layers.Layer`, such as `dtype`, `name`.

    Call arguments:
        inputs: Tensor of shape `(n, height, width, channels)`, already
            rescaled. Height and width are fixed by the first call.

    Returns:
        A tensor of shape `(n, num_patches, width)`, patches row by row.

    Raises:
        ValueError: If the images are smaller than a patch or their size is
            unknown.

    Example:

    ```python
    import numpy as np
    from keras_jest.layers import PatchEmbedding

    embed = PatchEmbedding(patch_size=8, width=12)
    print(embed(np.zeros((2, 32, 32, 3), "float32")).shape)  # (2, 16, 12)
    ```

    Reference:
        - [An Image is Worth 16x16 Words](https://arxiv.org/abs/2010.11929),
          section 3.1.
    """

    def __init__(self, patch_size, width, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.width = width

    def build(self, input_shape):
        num_patches = self._num_patches(input_shape)
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))
        self.projection = keras.layers.Conv2D(
            self.width,
            self.patch_size,
            strides=self.patch_size,
            data_format="channels_last",
            kernel_initializer="lecun_normal",
            dtype=self.dtype_policy,
            name="projection",
        )
        self.projection.build(input_shape)
        self.position_embedding = self.add_weight(
            shape=(1, num_patches, self.width),
            initializer=keras.initializers.RandomNormal(
                stddev=1.0 / math.sqrt(self.width)
            ),
            name="position_embedding",
        )
        self.sublayers_are_made()

    def _num_patches(self, input_shape):
        height, width = input_shape[1:3]
        if min(height or 0, width or 0) < self.patch_size:
            raise ValueError(
                "Images must have a known size of at least one patch. "
                f"Received: images of shape {tuple(input_shape)}, "
                f"patch_size={self.patch_size}"
            )
        return (height // self.patch_size) * (width // self.patch_size)

    def call(self, inputs):
        patches = self.projection(inputs)
        num_patches = self.position_embedding.shape[1]
        tokens = ops.reshape(patches, (-1, num_patches, self.width))
        return ops.add(tokens, self.position_embedding)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self._num_patches(input_shape), self.width)

    def get_config(self):
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "width": self.width,
        }
