"""Names from a file, as short as a message can bear."""

MAX_NAME = 100
KEPT_END = 30


def short_name(name):
    """Return a name, without its middle if it is long.

    A name in a tar may have a million characters. Its beginning and its end
    are what people find it by.
    """
    if len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - KEPT_END - 3]}...{name[-KEPT_END:]}"
