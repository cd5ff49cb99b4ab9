"""Imports at use, so that `import keras_jest` stays light."""

import importlib


def require(module):
    """Import a module that reads data, or say how to get it.

    Args:
        module: str. Its full name, such as `"PIL.Image"`.

    Returns:
        The module.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            "`keras_jest.data` needs grain, pillow and tokenizers, which "
            "`pip install keras-jest` brings along. Received: no module "
            f"{module!r}"
        ) from error
