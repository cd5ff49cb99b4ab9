import numpy as np


def numeric_gradients(function, arrays, step=1e-5):
    """Central differences, in float64, of a scalar of a dict of arrays."""
    arrays = {key: arrays[key].astype("float64") for key in arrays}
    found = {key: np.zeros_like(arrays[key]) for key in arrays}
    for key, array in arrays.items():
        for place in np.ndindex(array.shape):
            value = array[place]
            for sign in (1, -1):
                array[place] = value + sign * step
                found[key][place] += sign * function(arrays) / (2 * step)
            array[place] = value
    return found
