"""How much a transformer encoder computes."""


def encoder_flops(tokens, width, mlp_dim, depth):
    """FLOPs of `depth` transformer blocks, two per multiply-add.

    Projections `4 n d^2`, logits and mixing `2 n^2 d`, MLP `2 n d m`.
    """
    multiply_adds = (
        4 * tokens * width**2
        + 2 * tokens**2 * width
        + 2 * tokens * width * mlp_dim
    )
    return 2 * depth * multiply_adds
