"""The decorator that makes a name public and lets Keras save it."""

import inspect
from collections.abc import Callable
from typing import Any
from typing import TypeVar

import keras

Public = TypeVar("Public", bound=Callable[..., Any])

PUBLIC_NAMES: dict[str, Callable[..., Any]] = {}


def keras_jest_export(path: str) -> Callable[[Public], Public]:
    """Mark a class or function as public under `path` and register it.

    Classes with a `get_config()` and functions are registered with Keras
    under the package `"keras_jest"`, so that `.keras` files can name them.

    Args:
        path: str. The public name, such as
            `"keras_jest.losses.SigmoidContrastiveLoss"`.

    Returns:
        A decorator that returns its argument unchanged.
    """

    def export(symbol: Public) -> Public:
        if not inspect.isclass(symbol) or hasattr(symbol, "get_config"):
            keras.saving.register_keras_serializable("keras_jest")(symbol)
        PUBLIC_NAMES[path] = symbol
        return symbol

    return export
