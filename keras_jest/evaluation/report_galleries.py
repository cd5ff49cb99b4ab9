"""Pictures of what was kept most, dropped most, and never seen."""

import base64
import io
from typing import NamedTuple

import numpy as np

from keras_jest.data.decode_image import decode_image
from keras_jest.data.require import require
from keras_jest.evaluation.shown_text import shown_text

THUMBNAIL = 112
UNREADABLE = "This picture cannot be read any more."


class Gallery(NamedTuple):
    title: str
    sentence: str
    cards: list


def chosen_records(records):
    """Which records the galleries show, in their order.

    Args:
        records: the table `records`.

    Returns:
        List of tuples of a title, a sentence and an int array.
    """
    kept, score = (records[of].to_numpy() for of in ("kept", "score"))
    score = score.astype("float64")  # NaN, where unknown, is sorted last.
    most_kept = np.lexsort((-score, -kept))
    most_kept = most_kept[kept[most_kept] > 0]
    galleries = [("Most kept", "Kept more often than others.", most_kept)]
    if records["seen"].null_count:
        never = np.flatnonzero(kept == 0)
        return [
            *galleries,
            ("Never kept", count_of(never, kept, "never kept"), spread(never)),
        ]
    seen = records["seen"].to_numpy()
    left = records["dropped"].to_numpy()
    dropped = np.lexsort((score, kept, -left))
    dropped = dropped[left[dropped] > 0]
    never = np.flatnonzero((seen == 0) & (kept == 0))
    sentence = "Seen and left out more often than others."
    return [
        *galleries,
        ("Most dropped", sentence, dropped),
        ("Never seen", count_of(never, kept, "never seen"), spread(never)),
    ]


def count_of(rows, all_rows, what):
    return f"{len(rows):,d} of {len(all_rows):,d} records were {what}."


def spread(rows):
    """The same rows in an order in which the first few are from all over."""
    return rows[np.random.default_rng(0).permutation(len(rows))]


def galleries(table, records, num_shown):
    """The galleries of a report.

    Args:
        table: the table `records`.
        records: the records themselves.
        num_shown: int, pictures in each.
    """
    return [
        Gallery(
            title,
            sentence,
            [card(table, records, int(row)) for row in rows[:num_shown]],
        )
        for title, sentence, rows in chosen_records(table)
    ]


def card(table, records, row):
    """What a gallery tells of a record; one that is lost is told as that."""
    names = ("kept", "dropped", "score")
    known = {name: table[name][row].as_py() for name in names}
    known["hex_key"] = table["key"][row].as_py()
    known |= {"picture": None, "caption": "", "key": str(row)}
    try:
        record = records[row]
        known["caption"] = shown_text(record.get("text", ""))
        known["key"] = shown_text(record.get("id", record.get("key", row)), 40)
        known["picture"] = thumbnail(record["image"])
    except (OSError, ValueError, KeyError, TypeError):
        known["trouble"] = UNREADABLE
    return known


def thumbnail(image):
    """A picture's bytes as the address of an `<img>`."""
    Image = require("PIL.Image", "keras-jest[report]")
    file = io.BytesIO()
    pixels = Image.fromarray(decode_image(image, THUMBNAIL))
    pixels.save(file, "JPEG", quality=80)
    text = base64.b64encode(file.getvalue()).decode("ascii")
    return f"data:image/jpeg;base64,{text}"
