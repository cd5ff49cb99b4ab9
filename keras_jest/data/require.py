"""Imports at use, so that `import keras_jest` stays light."""

import importlib


def require(module, package="keras-jest"):
    """Import a module that reads data, or say how to get it.

    Args:
        module: str. Its full name, such as `"PIL.Image"`.
        package: str. What to install, with extras.

    Returns:
        The module.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"This needs {module}, which `pip install '{package}'` brings "
            f"along. Received: no module {module!r}"
        ) from error
