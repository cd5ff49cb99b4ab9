"""One kernel for patches of several sizes."""

import keras
from keras import ops

from keras_jest.layers.resize_axis import resize_axis
from keras_jest.layers.resize_matrices import pseudo_inverse_matrix


class FlexibleProjection(keras.layers.Conv2D):
    """Embeds patches of any size with the kernel of the largest.

    For other sizes the kernel is resized as in FlexiViT, anew in each call
    and in float32: what is stored, and trained, is one kernel.

    Args:
        width: int, the width of what patches become.
        patch_size: int, the side of the kernel.
        **kwargs: passed to `keras.layers.Conv2D`.

    Call arguments:
        inputs: tensor of shape `(n, height, width, channels)`.
        patch_size: int, the side of the patches into which it is cut.
    """

    def __init__(self, width, patch_size, **kwargs):
        super().__init__(
            width,
            patch_size,
            strides=patch_size,
            data_format="channels_last",
            # Two by two summed it has the law of half the size, too.
            kernel_initializer="lecun_normal",
            **kwargs,
        )

    def add_weight(self, *args, **kwargs):
        # Else the kernel would be read in bfloat16 and then resized.
        return super().add_weight(*args, autocast=False, **kwargs)

    def call(self, inputs, patch_size):
        kernel = resize_kernel(self.kernel, patch_size)
        patches = ops.conv(
            inputs,
            ops.cast(kernel, self.compute_dtype),
            strides=patch_size,
            data_format="channels_last",
        )
        return ops.add(patches, ops.cast(self.bias, self.compute_dtype))


def resize_kernel(kernel, size):
    """A kernel whose products with resized patches are nearest the same.

    Args:
        kernel: tensor of shape `(side, side, channels, width)`.
        size: int, the side that is wanted.

    Returns:
        A tensor of shape `(size, size, channels, width)`: `kernel` itself if
        it has this size, else float32.

    Reference:
        - [FlexiViT: One Model for All Patch Sizes](
          https://arxiv.org/abs/2212.08013), section 3.4.
    """
    if kernel.shape[0] == size:
        return kernel
    matrix = pseudo_inverse_matrix(kernel.shape[0], size)
    return resize_axis(resize_axis(kernel, matrix, 0), matrix, 1)
