"""A noisy pool, as one that was collected from the web, of known kinds."""

import functools
import random
from collections.abc import Mapping

import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.record_key import record_key
from keras_jest.datasets.pictograms.captions import word
from keras_jest.datasets.pictograms.change_images import DUPLICATE
from keras_jest.datasets.pictograms.change_images import LIGHT
from keras_jest.datasets.pictograms.change_images import blank_images
from keras_jest.datasets.pictograms.change_images import change_images

NOISE = {  # the kinds of noise and their weights
    "mismatched": 35,
    "boilerplate": 15,
    "vague": 8,
    "near_duplicate": 7,
    "blank": 5,
}
NUM_REPEATED = 20  # pictures that the near duplicates show
LEAST_OTHERS = 1e-3  # of draws that lead out of a subgroup; or they take ages
COLOURS = set(
    "red orange yellow green blue purple brown pink grey black white".split()
)
BOILERPLATE = (  # each # becomes a digit
    "IMG_####.JPG",
    "DSC0####.jpg",
    "photo-##-##.png",
    "picture # of ##",
    "Unnamed (#)",
    "tap to zoom",
    "see the full gallery",
    "free vector, EPS and SVG",
    "stock vector ID ########",
    "placeholder",
    "sponsored",
    "this image could not be loaded",
    "please wait",
    "like and subscribe",
    "continue reading",
    "add to cart - only # left",
    "(c) 20##, all rights reserved",
    "updated ## minutes ago",
    "start / shop / page ##",
    "screen capture ##.##",
)
VAGUE = (
    "image",
    "drawing",
    "icon",
    "a graphic",
    "my favourite",
    "look",
    "so nice",
    "untitled",
    "something",
    "a new one",
    "small",
    "art",
)


@keras_jest_export("keras_jest.datasets.pictograms.web_pool")
def web_pool(
    train: Mapping[str, np.ndarray],
    clean_share: float = 0.3,
    num_pairs: int = 20_000,
    seed: int = 0,
    concept_exponent: float = 0.0,
) -> dict[str, np.ndarray]:
    """Make a noisy pool of image-text pairs from the train split.

    What a selection has to cope with on the web, in known shares. Of what is
    not clean, 50 % are mismatched, 21.4 % boilerplate, 11.4 % vague, 10 %
    near duplicates and 7.1 % blank:

    - `clean`: a drawing with a caption in a wording of its own.
    - `mismatched`: the caption of an emoji of another subgroup.
    - `boilerplate`: "IMG_2034.JPG", "tap to zoom", ...
    - `vague`: "icon", "food", ...
    - `near_duplicate`: crops and recolourings of 20 drawings, with true
      captions.
    - `blank`: an empty picture with the caption of a drawing.

    Four of five drawings are turned, zoomed, moved or tinted a little. All
    rows of the split are used about equally often; or, as on the web, some
    concepts are everywhere and most are rare.

    Args:
        train: The train split of `load_data`, or rows of it.
        clean_share: float in [0, 1]. Share of clean pairs.
        num_pairs: int. Pairs in the pool.
        seed: int. The same seed gives the same pool.
        concept_exponent: float. 0 uses all rows equally often. Above, the
            n-th of the concepts, in a random order, is drawn in proportion
            to `n ** -concept_exponent` (1 is Zipf's law), by pictures and by
            mismatched captions, and each of its drawings as often.

    Returns:
        A dict of arrays with a row per pair, in random order:

        - `"images"`: `(num_pairs, size, size, 3)`, uint8.
        - `"captions"`: `(num_pairs,)`, str.
        - `"key"`: `(num_pairs, 4)`, int32. `record_key` of the pair's number
          in six digits.
        - `"source"`: `(num_pairs,)`, str. The kind. To measure with: a
          selection must never read it, nor the next two.
        - `"row"`, `"caption_row"`: `(num_pairs,)`, int32. The row of `train`
          that the picture shows and the one that the caption tells of; -1
          for none.
        - `"concept"`: `(num_pairs,)`, int32. What the picture shows: the
          number of its name among all names of `train` in their order; -1
          for none. As good a tag as the best tagger of pictures would give.

    Raises:
        ValueError: `clean_share`, `num_pairs` or `concept_exponent` is out
            of range, or `train` has a single subgroup, or hardly draws from
            another one, where captions are to be mismatched.

    Example:

    ```python
    from keras_jest.datasets import pictograms

    train = pictograms.load_data(image_size=16).train
    pool = pictograms.web_pool(train, clean_share=0.5, num_pairs=100)
    (pool["source"] == "clean").sum()  # 50
    ```
    """
    check_arguments(train, clean_share, num_pairs, concept_exponent)
    generator = np.random.default_rng(seed)
    source = draw_kinds(clean_share, num_pairs, generator)
    row, caption_row = draw_rows(train, source, concept_exponent, generator)
    is_blank = source == "blank"
    _, concepts = np.unique(train["names"], return_inverse=True)
    return {
        "images": make_images(train["images"], row, source, generator),
        "captions": make_captions(train, caption_row, row, source, seed),
        "key": np.array([record_key(f"{i:06d}") for i in range(num_pairs)]),
        "source": source,
        "row": np.where(is_blank, -1, row).astype("int32"),
        "caption_row": caption_row.astype("int32"),
        "concept": np.where(is_blank, -1, concepts[row]).astype("int32"),
    }


def check_arguments(train, clean_share, num_pairs, concept_exponent):
    if not 0 <= clean_share <= 1:
        raise ValueError(
            "Expected `clean_share` to be in [0, 1]. "
            f"Received: clean_share={clean_share}"
        )
    if num_pairs < 1:
        raise ValueError(
            "Expected `num_pairs` to be 1 or more. "
            f"Received: num_pairs={num_pairs}"
        )
    if not 0 <= concept_exponent < float("inf"):
        raise ValueError(
            "Expected `concept_exponent` to be 0 or more, and finite. "
            f"Received: concept_exponent={concept_exponent}"
        )
    if clean_share < 1 and len(set(train["subgroups"])) < 2:
        raise ValueError(
            "Expected `train` to have at least two subgroups, so that "
            "captions can be mismatched; pass more rows of the train split. "
            f"Received: {sorted(set(train['subgroups'].tolist()))}"
        )


def draw_kinds(clean_share, num_pairs, generator):
    """The kind of each pair; the counts are the nearest to the shares."""
    num_clean = round(clean_share * num_pairs)
    exact = np.array(list(NOISE.values())) / sum(NOISE.values())
    exact = exact * (num_pairs - num_clean)
    counts = np.floor(exact).astype(int)
    largest_rest = np.argsort(counts - exact, kind="stable")
    counts[largest_rest[: num_pairs - num_clean - counts.sum()]] += 1
    kinds = np.repeat(["clean", *NOISE], [num_clean, *counts])
    return generator.permutation(kinds)


def draw_rows(train, source, concept_exponent, generator):
    """The row that each picture shows and the one that its caption names."""
    row, draw = pictured_rows(train, source, concept_exponent, generator)
    is_duplicate = source == "near_duplicate"
    repeated = generator.permutation(recolourable(train))[:NUM_REPEATED]
    row[is_duplicate] = generator.choice(repeated, is_duplicate.sum())

    caption_row = row.copy()
    is_alike = source == "mismatched"  # still to be given another subgroup
    while is_alike.any():
        caption_row[is_alike] = draw(size=is_alike.sum())
        is_alike &= train["subgroups"][row] == train["subgroups"][caption_row]
    caption_row[np.isin(source, ["boilerplate", "vague"])] = -1
    return row, caption_row


def pictured_rows(train, source, concept_exponent, generator):
    """A row for each picture, and a function that draws more by one law."""
    num_pairs, num_rows = len(source), len(train["names"])
    if concept_exponent:
        shares = row_shares(train["names"], concept_exponent, generator)
        if "mismatched" in source:
            check_others(train["subgroups"], shares, concept_exponent)
        draw = functools.partial(generator.choice, num_rows, p=shares)
        return draw(size=num_pairs), draw
    rounds = -(-num_pairs // num_rows)
    row = [generator.permutation(num_rows) for _ in range(rounds)]
    draw = functools.partial(generator.integers, num_rows)
    return np.concatenate(row)[:num_pairs], draw


def row_shares(names, concept_exponent, generator):
    """How often each row is drawn, the rows of a concept equally often."""
    _, concepts, counts = np.unique(
        names, return_inverse=True, return_counts=True
    )
    ranks = 1.0 + generator.permutation(len(counts))
    shares = (ranks**-concept_exponent / counts)[concepts]
    return shares / shares.sum()


def check_others(subgroups, shares, concept_exponent):
    """Raise if hardly a caption comes from outside of one subgroup."""
    _, codes = np.unique(subgroups, return_inverse=True)
    others = 1.0 - np.bincount(codes, shares).max()
    if others < LEAST_OTHERS:
        raise ValueError(
            "Expected a `concept_exponent` that draws one of a thousand rows "
            "or more from outside the commonest subgroup, so that captions "
            "can be mismatched; lower it. Received: concept_exponent="
            f"{concept_exponent}, which draws {others:.1e} from there"
        )


def recolourable(train):
    """Rows whose caption stays true in other colours; if none has, all."""
    keeps_caption = [
        group != "flags" and COLOURS.isdisjoint(name.lower().split())
        for name, group in zip(train["names"], train["groups"], strict=True)
    ]
    rows = np.flatnonzero(keeps_caption)
    return rows if len(rows) else np.arange(len(keeps_caption))


def make_images(images, row, source, generator):
    """A picture for each pair."""
    result = images[row]
    is_duplicate, is_blank = source == "near_duplicate", source == "blank"
    is_changed = generator.random(len(row)) < 0.8
    is_changed &= ~(is_duplicate | is_blank)
    result[is_blank] = blank_images(result[is_blank].shape, generator)
    for chosen, change in ((is_changed, LIGHT), (is_duplicate, DUPLICATE)):
        result[chosen] = change_images(result[chosen], change, generator)
    return result


def make_captions(train, caption_row, row, source, seed):
    """A caption for each pair."""
    captions = []
    for number, kind in enumerate(source):
        generator = random.Random(f"{seed} {number}")
        if kind == "boilerplate":
            template = generator.choice(BOILERPLATE)
            caption = fill_digits(template, generator)
        elif kind == "vague":
            group_words = train["groups"][row[number]].split("-")
            caption = generator.choice([*VAGUE, *(3 * group_words)])
        else:
            fields = ("names", "keywords", "styles")
            told = [str(train[field][caption_row[number]]) for field in fields]
            caption = word(*told, generator)
        captions.append(caption)
    return np.array(captions, dtype="str")


def fill_digits(template, generator):
    return "".join(
        generator.choice("0123456789") if letter == "#" else letter
        for letter in template
    )
