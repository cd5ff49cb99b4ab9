"""Many ways to say what a drawing shows."""

import random
from collections.abc import Mapping

import numpy as np

from keras_jest.api_export import keras_jest_export

PLAIN_WORDINGS = (
    "{name}",
    "{name}",
    "{name}",
    "{name} icon",
    "{name} emoji",
    "drawing of {name}",
    "clip art of {name}",
    "small picture: {name}",
    "{name}, {style} drawing",
    "emoji in {style} style: {name}",
)
WORDINGS_WITH_KEYWORD = (
    "{name}, {first}",
    "{name} ({first})",
    "{first}: {name}",
    "drawing of {name}, {first}",
)
WORDINGS_WITH_KEYWORDS = (
    "{name}, {first}, {second}",
    "{name} - {first} and {second}",
    "{first}, {second}, {name}",
    "tags: {name}, {first}, {second}",
)


@keras_jest_export("keras_jest.datasets.pictograms.make_captions")
def make_captions(rows: Mapping[str, np.ndarray], seed: int = 0) -> np.ndarray:
    """Word the captions of drawings anew.

    A caption is the name of the emoji, alone or in one of some 20 wordings
    with its keywords and the style of the drawing. It depends on the seed
    and on the row's own key only, so a part of a split gets the same
    captions as the whole.

    Args:
        rows: A split of `load_data`, or a part of one: a dict with `"names"`,
            `"keywords"`, `"styles"` and `"key"`.
        seed: int. Another one gives other wordings.

    Returns:
        An array of str of shape `(n,)`.

    Example:

    ```python
    from keras_jest.datasets import pictograms

    split = pictograms.load_data(image_size=16).curated
    rows = {name: values[:3] for name, values in split.items()}
    captions = pictograms.make_captions(rows, seed=1)
    ```
    """
    return np.array(
        [
            word(
                name,
                keywords,
                style,
                random.Random(f"{seed} {key.tobytes().hex()}"),
            )
            for name, keywords, style, key in zip(
                rows["names"],
                rows["keywords"],
                rows["styles"],
                rows["key"],
                strict=True,
            )
        ],
        dtype="str",
    )


def word(name, keywords, style, generator):
    """One caption, in a wording that `generator` draws."""
    keywords = keywords.split(", ") if keywords else []
    generator.shuffle(keywords)
    wordings = PLAIN_WORDINGS
    if keywords:
        wordings += WORDINGS_WITH_KEYWORD
    if len(keywords) > 1:
        wordings += WORDINGS_WITH_KEYWORDS
    first, second = (keywords + ["", ""])[:2]
    return generator.choice(wordings).format(
        name=spoken(name), style=style, first=first, second=second
    )


def spoken(name):
    """A CLDR name as one says it: "flag of Peru" for "flag: Peru"."""
    head, colon, tail = name.partition(": ")
    if not colon:
        return name
    if head == "flag":
        return f"flag of {tail}"
    if tail == "bald":
        return f"bald {head}"
    if tail == "beard" or tail.endswith(" hair"):
        return f"{head} with {tail}"
    if ", " in tail:
        return f"{head}, {' and '.join(tail.rsplit(', ', 1))}"
    return f"{head} {tail}"
