"""Text from elsewhere, so that a page can hold it."""

import unicodedata

MOST_CHARACTERS = 240
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def shown_text(text, most=MOST_CHARACTERS):
    """A text in one line, without what no page or file may hold.

    Control characters and halves of surrogate pairs are replaced. What turns
    the direction of writing stays: the page keeps it within its own element.
    To escape `<` and `&` is the template's part.

    Args:
        text: str.
        most: int. A longer text is cut.
    """
    text = " ".join(str(text)[: 4 * most].split())
    if len(text) > most:
        text = text[: most - 1].rstrip() + "…"
    bad = ("Cc", "Cs")
    return "".join(
        REPLACEMENT if unicodedata.category(of) in bad else of for of in text
    )
