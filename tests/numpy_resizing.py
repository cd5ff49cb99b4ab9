"""Resizing in float64 NumPy, written out slowly."""

import numpy as np


def interpolated(signal, new):
    """Read between the centres of pixels, at the edges the last one."""
    old = len(signal)
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    return np.interp(np.clip(centres, 0, old - 1), np.arange(old), signal)


def antialiased(signal, new):
    """Means of all pixels under a tent as wide as two of the new ones."""
    old = len(signal)
    tent = max(old / new, 1.0)
    values = []
    for index in range(new):
        centre = (index + 0.5) * old / new - 0.5
        weights = [max(0, 1 - abs(centre - k) / tent) for k in range(old)]
        values.append(np.dot(weights, signal) / sum(weights))
    return np.array(values)


def resized(picture, shape, along=interpolated):
    """Resize a picture `(height, width)`, first its rows."""
    picture = np.array([along(row, shape[1]) for row in picture])
    return np.array([along(column, shape[0]) for column in picture.T]).T


def resize_operator(old, new):
    """What resizes flat square pictures: columns are resized unit pictures."""
    units = np.eye(old * old).reshape(-1, old, old)
    return np.array([resized(of, (new, new)).reshape(-1) for of in units]).T


def resized_kernel(kernel, size):
    """The kernel of FlexiViT, by an inverse on whole pictures."""
    old, _, channels, width = kernel.shape
    inverse = np.linalg.pinv(resize_operator(old, size).T)
    flat = inverse @ kernel.reshape(old * old, -1)
    return flat.reshape(size, size, channels, width)


def resized_positions(positions, old, new):
    """Positions `(1, tokens, width)` of a grid for another grid."""
    grids = positions[0].reshape(*old, -1)
    grids = [
        resized(grid, new, antialiased) for grid in np.moveaxis(grids, 2, 0)
    ]
    return np.stack(grids, axis=2).reshape(1, -1, positions.shape[-1])
