"""Attributes that a model has for the time of one call."""

import contextlib


@contextlib.contextmanager
def holding(model, **attributes):
    """Give a model other attributes for a while."""
    before = {name: getattr(model, name) for name in attributes}
    try:
        for name, value in attributes.items():
            setattr(model, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(model, name, value)
