"""Arrays that are given together, and how many rows each has."""


def check_equal_rows(x):
    """Raise if arrays of a dict differ in their number of rows.

    Keras finds it, too, and then stumbles over the names of the arrays.

    Args:
        x: what a model is given: a dict of arrays, or anything else.

    Raises:
        ValueError: They differ.
    """
    if not isinstance(x, dict):
        return
    rows = {
        name: int(array.shape[0])
        for name, array in x.items()
        if getattr(array, "shape", ())
    }
    if len(set(rows.values())) > 1:
        raise ValueError(
            "Pairs need as many images as texts: the arrays of a dict must "
            f"have the same number of rows. Received: {rows}. Images and "
            "texts of other numbers are embedded apart, by `encode_images` "
            "and `encode_texts` of the image-text model."
        )
