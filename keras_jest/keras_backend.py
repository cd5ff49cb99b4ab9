"""Imports Keras, and says what to do where it does not find its backend."""

import importlib.util

BACKENDS = ("jax", "tensorflow", "torch")

try:
    import keras  # noqa: F401
except ModuleNotFoundError as error:
    missing = (error.name or "").partition(".")[0]
    if missing not in BACKENDS:
        raise
    found = [name for name in BACKENDS if importlib.util.find_spec(name)]
    wanted = f"KERAS_BACKEND={found[0]}" if found else "KERAS_BACKEND=jax"
    raise ImportError(
        f"Keras wants {missing}, which is not installed: that is what it "
        "takes unless the environment variable KERAS_BACKEND or the file "
        "~/.keras/keras.json says otherwise. Installed: "
        f"{found or 'no backend'}. Set {wanted} before Python starts, or in "
        "`os.environ` before the first import of Keras"
        + ("." if found else ', and pip install "keras-jest[jax]".')
    ) from None
