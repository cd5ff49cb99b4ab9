"""A record's identity, small enough to travel through `fit`."""

import hashlib

import numpy as np

from keras_jest.api_export import keras_jest_export


@keras_jest_export("keras_jest.data.record_key")
def record_key(key: str, shard: str = "") -> np.ndarray:
    """Return the identity of a record as four int32 numbers.

    Text cannot pass through `fit` on every backend and JAX shortens 64-bit
    numbers, so a batch carries this digest of 128 bits instead.

    Args:
        key: str. The record's key.
        shard: str. The name of its shard, if it has one: keys need to be
            unique in a shard only.

    Returns:
        An array of shape `(4,)`, int32.

    Example:

    ```python
    from keras_jest.data import key_to_hex, record_key

    names = {key_to_hex(record_key(name)): name for name in ("cat", "dog")}
    names[key_to_hex(record_key("dog"))]  # "dog"
    ```
    """
    if not isinstance(key, str):  # `TarShards` takes numbers so, too.
        raise ValueError(
            "Expected a key, or an id, that is a text: of a number take "
            f"`str(number)`. Received: {key!r}"
        )
    name = f"{shard}/{key}" if shard else key
    digest = hashlib.blake2b(
        name.encode("utf-8", "backslashreplace"), digest_size=16
    )
    return np.frombuffer(digest.digest(), dtype="<i4").astype("int32")


@keras_jest_export("keras_jest.data.key_to_hex")
def key_to_hex(key: np.ndarray) -> str:
    """Return the identity of a record as text, to store and to look up.

    Args:
        key: Array of shape `(4,)`, int32: a row of a batch's `"key"`.

    Returns:
        str of 32 hexadecimal digits.

    Raises:
        ValueError: It is another shape, such as that of many keys.

    Example:

    ```python
    from keras_jest.data import key_to_hex, record_key

    len(key_to_hex(record_key("cat")))  # 32
    ```
    """
    key = np.asarray(key)
    if key.shape != (4,) or key.dtype.kind not in "iu":
        raise ValueError(
            "Expected one key, four int32 numbers. Of a batch, or of all keys, "
            "take `[key_to_hex(key) for key in keys]`. Received: an array of "
            f"shape {key.shape}, {key.dtype}"
        )
    return key.astype("<i4").tobytes().hex()


def keys_to_hex(keys):
    """As `key_to_hex`, for an array of shape `(n, 4)`: a list of texts."""
    text = np.asarray(keys).astype("<i4").tobytes().hex()
    return [text[start : start + 32] for start in range(0, len(text), 32)]


def keys_from_hex(texts):
    """Undo `keys_to_hex`: texts as an `S32` array of shape `(n,)`.

    Raises:
        ValueError: Some are not 32 hexadecimal digits.
    """
    text = np.ascontiguousarray(texts, "S32").tobytes()
    keys = np.frombuffer(bytes.fromhex(text.decode("ascii")), "<i4")
    return keys.astype("int32").reshape(len(texts), 4)
