"""Errors that another process can read."""

import traceback


def portable_error(error):
    """An error as it can be sent: of a type that every process has.

    Others may not survive the way, or be of a library that is not there.
    """
    trace = traceback.format_exception(error)
    if type(error).__module__ != "builtins":
        kind = type(error).__name__
        error = RuntimeError(f"The reference failed. Received: {kind}: {error}")
    error = error.with_traceback(None)
    error.__cause__ = error.__context__ = None
    error.add_note("".join(trace))
    return error
