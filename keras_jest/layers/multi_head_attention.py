"""Attention whose four projections start as the SigLIP paper's do."""

import math

import keras


def multi_head_attention(num_heads, width, dtype):
    """Return a `keras.layers.MultiHeadAttention` with Xavier projections.

    Keras computes a glorot bound from the three-axis kernels of its
    projections as if they were convolutions, which is up to six times too
    narrow. Here all four kernels are drawn from the bound of the flattened
    `(width, width)` matrices.

    Args:
        num_heads: int. The number of heads; must divide `width`.
        width: int. The width of queries, keys, values and outputs.
        dtype: A dtype policy for the layer.

    Returns:
        An unbuilt `keras.layers.MultiHeadAttention` with biases.

    Raises:
        ValueError: If `num_heads` does not divide `width`.
    """
    if width % num_heads:
        raise ValueError(
            "`num_heads` must divide the width of the tokens. "
            f"Received: num_heads={num_heads}, width={width}. "
            "A usual choice is width // 64."
        )
    bound = math.sqrt(3.0 / width)
    return keras.layers.MultiHeadAttention(
        num_heads,
        key_dim=width // num_heads,
        kernel_initializer=keras.initializers.RandomUniform(-bound, bound),
        dtype=dtype,
        name="attention",
    )
