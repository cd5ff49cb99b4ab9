"""Pictures seen coarsely: smaller, or in larger patches."""

import keras

from keras_jest.layers.resize_images import resize_images


def coarsely(model, coarse_size):
    """A look, one of `looks`, of a model at coarse pictures.

    Args:
        model: Keras model. If it has `patch_sizes` it gets the pictures as
            they are and a larger `patch_size`, so that it has as many tokens
            as pictures of `coarse_size` would give it. Another one gets
            smaller pictures: what has four axes in its inputs.
        coarse_size: int, side of the coarse picture, in pixels.

    Returns:
        A look.
    """

    def look(inputs):
        inputs, arguments = coarsened(model, inputs, coarse_size)
        return model(inputs, training=False, **arguments)

    return look


def check_sees_coarsely(model, inputs, coarse_size):
    """Raise, by a look at one row, if a model cannot see coarse pictures."""
    one = keras.tree.map_structure(lambda array: array[:1], inputs)
    one, arguments = coarsened(model, one, coarse_size)
    try:
        model(one, training=False, **arguments)
    except Exception as error:
        raise ValueError(explained(coarse_size, error)) from error


def coarsened(model, inputs, coarse_size):
    """The inputs and arguments of a model that is to see coarsely."""
    size = picture_size(inputs)
    if not 1 <= coarse_size < size:
        raise ValueError(
            "`coarse_size` must be at least 1 and below the size of the "
            f"pictures. Received: coarse_size={coarse_size}, pictures of "
            f"{size} pixels"
        )
    if getattr(model, "patch_sizes", None):
        return inputs, {
            "patch_size": coarse_patch_size(model, coarse_size, size)
        }
    coarse = keras.tree.map_structure(
        lambda rows: (
            resize_images(rows, coarse_size) if is_pictures(rows) else rows
        ),
        inputs,
    )
    return coarse, {}


def coarse_patch_size(model, coarse_size, size):
    """The patch size with which a picture has the tokens of a coarse one."""
    patch_size, rest = divmod(model.patch_size * size, coarse_size)
    if rest or patch_size not in model.patch_sizes:
        raise ValueError(
            "To have the tokens of pictures of `coarse_size` pixels, the "
            f"learner needs patches of {model.patch_size} * {size} / "
            f"{coarse_size} pixels, and it has patch_sizes="
            f"{model.patch_sizes}. Received: coarse_size={coarse_size}, "
            f"pictures of {size} pixels. Give the learner that size, or take "
            "another `coarse_size`."
        )
    return patch_size


def is_pictures(array):
    return len(array.shape) == 4


def picture_size(inputs):
    """The side of the pictures among the inputs of a model, in pixels."""
    shapes = [tuple(of.shape) for of in keras.tree.flatten(inputs)]
    sides = {side for shape in shapes if len(shape) == 4 for side in shape[1:3]}
    if len(sides) != 1 or None in sides:
        raise ValueError(
            "What is to be seen coarsely must be square pictures of one size, "
            "the only inputs of the learner with the shape (n, height, width, "
            f"channels). Received: inputs of the shapes {shapes}"
        )
    return sides.pop()


def explained(coarse_size, error):
    return (
        f"The learner cannot see pictures of {coarse_size} pixels. It must "
        "take several sizes: a SigLIP with `patch_sizes`, or a network that "
        "ends in global pooling, with `keras.Input((None, None, 3))`. "
        f"Received: coarse_size={coarse_size}, and from the learner: {error}"
    )
