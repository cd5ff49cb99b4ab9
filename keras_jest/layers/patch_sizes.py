"""The sizes of patches among which a model can choose, and the checks."""


def checked_patch_sizes(patch_size, patch_sizes, image_size=None):
    """Sort the patch sizes of a flexible layer or model.

    Args:
        patch_size: int, that at which it works when none is asked for.
        patch_sizes: ints, or `None` for a plain one.
        image_size: int or `None`, what all of `patch_sizes` must divide.

    Returns:
        A tuple of ints without repetitions, or `None`.

    Raises:
        ValueError: if they are no sizes, `patch_size` is not one of them, or
            one does not divide the picture.
    """
    if patch_sizes is None:
        return None
    sizes = tuple(sorted(set(patch_sizes)))
    if not all(is_size(size) for size in sizes) or patch_size not in sizes:
        raise ValueError(
            "`patch_sizes` must be ints of at least 1, and `patch_size`, at "
            "which pictures are seen when no other size is asked for, one of "
            f"them. Received: patch_sizes={tuple(patch_sizes)}, "
            f"patch_size={patch_size}"
        )
    if image_size is not None:
        check_divide(sizes, (image_size, image_size))
    return sizes


def is_size(size):
    return isinstance(size, int) and size >= 1


def check_divide(sizes, sides):
    """Raise unless all patch sizes divide the sides of pictures."""
    wrong = [size for size in sizes if any(side % size for side in sides)]
    if wrong:
        raise ValueError(
            "Patches of every size must fill the picture. Received: "
            f"pictures of {sides[0]} x {sides[1]} pixels, "
            f"patch_sizes={sizes}, of which {wrong} do not divide them"
        )


def chosen_patch_size(layer, patch_size):
    """The patch size at which a layer is to work.

    Args:
        layer: what has a `name`, a `patch_size` and `patch_sizes`.
        patch_size: int, or `None` for the layer's own.

    Returns:
        int.

    Raises:
        ValueError: if it has no such size.
    """
    if patch_size is None or patch_size == layer.patch_size:
        return layer.patch_size
    if layer.patch_sizes is None:
        raise only_one_patch_size(layer, patch_size)
    if not is_size(patch_size) or patch_size not in layer.patch_sizes:
        raise ValueError(
            f"`patch_size` must be one of the ints {layer.patch_sizes} with "
            f"which '{layer.name}' was made. Received: "
            f"patch_size={patch_size!r}"
        )
    return patch_size


def only_one_patch_size(layer, patch_size):
    """The error of what is asked for a patch size and is not flexible."""
    return ValueError(
        f"'{layer.name}' sees pictures at its own patch size alone. Make an "
        "`ImageTransformer` or a `SigLIP` with `patch_sizes=`, all sizes that "
        f"will be asked for. Received: patch_size={patch_size}"
    )
