"""Resizing along one axis as matrices, in float64 and made once.

Frameworks resize in ways of their own; products with the same numbers are
equal on all of them, and have an inverse.
"""

import functools

import numpy as np


def made_once(make):
    """Keep what a function of sizes makes, safe from being written to."""

    @functools.cache
    @functools.wraps(make)
    def make_once(*arguments, **options):
        matrix = make(*arguments, **options)
        matrix.flags.writeable = False
        return matrix

    return make_once


@made_once
def bilinear_matrix(old, new, antialias=False):
    """Linear interpolation between the centres of pixels.

    What would be read beyond an edge is left out, and the rest of its row
    weighs more: without `antialias` that is to read the pixel at the edge.

    Args:
        old: int, the number of pixels that are given.
        new: int, the number that is wanted.
        antialias: bool, whether a pixel that covers several looks at all of
            them, and not at the two around its centre alone. It changes
            nothing where `new` is at least `old`.

    Returns:
        Array of shape `(new, old)`, read-only; its rows sum to 1.
    """
    step = old / new
    centres = (np.arange(new) + 0.5) * step - 0.5
    reach = max(step, 1.0) if antialias else 1.0
    distances = np.abs(centres[:, None] - np.arange(old)) / reach
    weights = np.maximum(1.0 - distances, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


@made_once
def pseudo_inverse_matrix(old, new):
    """What a kernel is resized by, for what its patch was resized by.

    With `R = bilinear_matrix(old, new)` a patch `X` becomes `R X R^T`. The
    kernel `P W P^T` is the one whose products with resized patches of white
    noise are nearest, in the square, to those of `W` with the patches: equal
    where `new` is at least `old`. To half the size `P` is `2 R`, which sums
    squares of two by two weights.

    Args:
        old: int, the side of the kernel that is given.
        new: int, the side that is wanted.

    Returns:
        Array of shape `(new, old)`, read-only: the pseudo-inverse of the
        transpose of `R`.

    Reference:
        - [FlexiViT: One Model for All Patch Sizes](
          https://arxiv.org/abs/2212.08013), section 3.4.
    """
    return np.linalg.pinv(bilinear_matrix(old, new).T)


@made_once
def area_matrix(old, new):
    """Means of what each of fewer pixels covers.

    For whole ratios that is average pooling, for a ratio of two also
    `bilinear_matrix`.

    Args:
        old: int, the number of pixels that are given.
        new: int, the number that is wanted, at most `old`.

    Returns:
        Array of shape `(new, old)`, read-only; its rows sum to 1.
    """
    # In whole numbers, of which `old * new` fit: no rounding at the borders.
    first = np.arange(new)[:, None] * old
    pixel = np.arange(old) * new
    covered = np.minimum(first + old, pixel + new) - np.maximum(first, pixel)
    return np.maximum(covered, 0) / old
