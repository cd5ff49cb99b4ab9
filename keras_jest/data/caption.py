"""What of a file, or of a string, is the text of a caption."""

import unicodedata

# Controls and formats (byte order marks, zero-width characters), white space.
INVISIBLE_CATEGORIES = ("Cc", "Cf", "Zl", "Zp", "Zs")
# What Unicode calls default-ignorable or draws blank in other categories:
# the joiner of graphemes, fillers of Hangul, Khmer vowels that are inherent,
# Mongolian and other variation selectors, a blank in Braille, and a byte order
# mark that was read in the wrong order.
INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    "\ufffe"
) | {chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))}
# Not all that is invisible: a joiner or a tag may end an emoji.
AROUND = "\0\ufeff\u200b\u2060" + "".join(
    character for character in map(chr, range(0x3001)) if character.isspace()
)


def read_caption(data):
    """Return the caption that a file holds.

    Args:
        data: bytes. Text in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: It is another encoding. Zeros within the text are UTF-16
            without a byte order mark, or no text at all.
    """
    caption = strip_caption(data.decode("utf-8"))
    if "\0" in caption:
        raise ValueError("Expected text in UTF-8. Received: zeros within it")
    return caption


def strip_caption(text):
    """Return a text without what stands around it and is not part of it.

    White space, byte order marks, the zeros of fixed-length fields and
    zero-width spaces: a tokenizer would make tokens of them.
    """
    return text.strip(AROUND)


def is_blank(text):
    """Return whether a text shows nothing at all."""
    return all(
        character in INVISIBLE
        or unicodedata.category(character) in INVISIBLE_CATEGORIES
        for character in text
    )
