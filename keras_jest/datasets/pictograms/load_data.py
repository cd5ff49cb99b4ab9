"""The packaged drawings as arrays."""

import json
import pathlib
from typing import NamedTuple

import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.record_key import record_key
from keras_jest.datasets.pictograms.captions import make_captions

FILES = pathlib.Path(__file__).parents[1] / "files"
SIZE = 64  # of the packaged pictures, in pixels
SHEET = 32  # pictures along a side of a packaged sheet


class Pictograms(NamedTuple):
    """The three splits; `load_data` says what is in them."""

    train: dict[str, np.ndarray]
    curated: dict[str, np.ndarray]
    test: dict[str, np.ndarray]


@keras_jest_export("keras_jest.datasets.pictograms.load_data")
def load_data(image_size: int = SIZE) -> Pictograms:
    """Load 12,700 emoji drawings with their names.

    Nine vendors drew the same 1,900 emoji, each in a style of their own: real
    image-text pairs, small enough to train on in minutes.

    - `train`: drawings of eight vendors.
    - `curated`: one more drawing of each emoji that two or more of them drew,
      for a reference.
    - `test`: all drawings of Twemoji, which is in no other split.

    No two pictures are equal. Skin tones are left out.

    Names, keywords and groups are those of the Unicode CLDR. The drawings are
    by Google (Noto Emoji, two designs; Apache-2.0), Mozilla (FxEmojis;
    Apache-2.0), Microsoft (Fluent Emoji, three styles; MIT), EmojiOne and
    EmojiTwo (two styles; CC BY 4.0) and Twitter (Twemoji; CC BY 4.0). They
    were rasterised at 64 x 64 pixels on white and compressed. Whoever passes
    them on has to pass on the attributions in the file `NOTICE` too.

    Args:
        image_size: int. Side of the pictures, in pixels. They are stored with
            64 and resized from that.

    Returns:
        `Pictograms(train, curated, test)`. Each is a dict of arrays with a
        row per drawing, in random order:

        - `"images"`: `(n, image_size, image_size, 3)`, uint8.
        - `"captions"`: `(n,)`, str. `make_captions` makes others.
        - `"key"`: `(n, 4)`, int32. `record_key("<vendor>-<code points>")`.
        - `"names"`, `"keywords"` (joined by `", "`), `"groups"`,
          `"subgroups"`, `"codepoints"`, `"vendors"`, `"styles"`:
          `(n,)`, str.

    Raises:
        ValueError: `image_size` is no positive int.

    Example:

    Text cannot pass through `fit`: tokenize it first.

    ```python
    from keras_jest.data import Tokenizer
    from keras_jest.datasets import pictograms

    train, curated, test = pictograms.load_data(image_size=16)
    tokenizer = Tokenizer.train(train["captions"][:100].tolist())
    examples = {
        "images": curated["images"],
        "token_ids": tokenizer(curated["captions"].tolist()),
        "key": curated["key"],
    }
    ```
    """
    if not isinstance(image_size, int) or image_size < 1:
        raise ValueError(
            "Expected `image_size` to be a number of pixels, 1 or more. "
            f"Received: image_size={image_size!r}"
        )
    tables = json.loads((FILES / "pictograms.json").read_text("utf-8"))
    return Pictograms(
        *(load_split(split, tables, image_size) for split in Pictograms._fields)
    )


def load_split(split, tables, image_size):
    """The pictures and what they show."""
    rows = {"images": load_images(split, len(tables[split]), image_size)}
    rows.update(describe(tables[split], tables))
    rows["captions"] = make_captions(rows)
    return rows


def describe(keys, tables):
    """The columns that `"<vendor>-<code points>"` stand for."""
    emoji = {row["codepoints"]: row for row in tables["emoji"]}
    styles = {row["vendor"]: row["style"] for row in tables["vendors"]}
    vendors, codes = zip(*(key.split("-", 1) for key in keys), strict=True)
    columns = {
        "names": [emoji[code]["name"] for code in codes],
        "keywords": [", ".join(emoji[code]["keywords"]) for code in codes],
        "groups": [emoji[code]["group"] for code in codes],
        "subgroups": [emoji[code]["subgroup"] for code in codes],
        "codepoints": codes,
        "vendors": vendors,
        "styles": [styles[vendor] for vendor in vendors],
        "key": [record_key(key) for key in keys],
    }
    return {name: np.array(values) for name, values in columns.items()}


def load_images(split, num_images, image_size):
    """Decode the sheets of a split. Pillow would not do it in threads."""
    images = np.empty((num_images, image_size, image_size, 3), "uint8")
    for start in range(0, num_images, SHEET**2):
        part = images[start : start + SHEET**2]
        path = FILES / f"{split}-{start // SHEET**2}.webp"
        for row, tile in zip(part, tiles(path, image_size), strict=False):
            row[:] = resize(tile, image_size)
    return images


def tiles(path, image_size):
    """The pictures of a sheet, row by row, made smaller where that is exact."""
    from PIL import Image

    with Image.open(path, formats=["WEBP"]) as file:
        sheet = file.convert("RGB")
    side = SIZE
    if SIZE % image_size == 0:  # no pixel is averaged with another picture's
        side = image_size
        sheet = sheet.reduce(SIZE // image_size)
    grid = np.asarray(sheet).reshape(-1, side, SHEET, side, 3).swapaxes(1, 2)
    return grid.reshape(-1, side, side, 3)


def resize(tile, image_size):
    from PIL import Image

    if len(tile) == image_size:
        return tile
    shape = (image_size, image_size)
    return Image.fromarray(tile).resize(shape, Image.Resampling.BILINEAR)
