"""Models that are exported as soon as they are built."""

from typing import Any

import keras

from keras_jest.models import backend
from keras_jest.models.expected_units import expected_units
from keras_jest.models.units import TokenIds
from keras_jest.types import StrPath


class Exports:
    """Tells Keras' `export` what a model reads.

    To be named before `keras.Model` among the bases of a class that has
    `input_dtypes`: the dtype of what it reads, or a dict of them by the keys
    of its inputs.

    Keras takes the inputs of a model that is no functional one from its first
    call, and refuses if there was none: after `load_model`, and on JAX after
    `predict`, which calls nothing when all is built. And it takes all of them
    for floats, and every entry of a batch for an input.
    """

    def export(
        self,
        filepath: StrPath,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: list[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Export the model for inference, as `keras.Model.export` does.

        It needs to be built, no more. The exported model reads batches of any
        size, pictures as float32 and token ids as int32 unless the model has
        inputs of other dtypes; see `docs/export.md`.

        Args:
            filepath: str or `pathlib.Path`. Where to.
            format: str. `"tf_saved_model"`, `"onnx"`, `"litert"`, `"torch"`,
                or another of Keras'.
            verbose: bool. Whether to say what was written.
            input_signature: A list with what the model reads: for an
                image-text model one dict of `keras.InputSpec`, by its
                `input_keys`. `None` means its own.
            **kwargs: Further arguments of `keras.Model.export`.

        Raises:
            ValueError: If the model is not built, or as Keras does.
        """
        if not self.built:
            raise ValueError(
                "A model can be exported when it is built. Received: "
                f"'{self.name}', which is not. Call it on a batch first, or "
                "its `build`."
            )
        if input_signature is None:
            input_signature = [input_specs(self)]
        backend.export(
            self,
            super().export,
            filepath,
            format,
            verbose,
            input_signature,
            **kwargs,
        )


def input_specs(model):
    """What a built model reads: an `InputSpec`, or a dict of them."""
    shape = model.get_build_config()["input_shape"]
    dtypes = model.input_dtypes
    if not isinstance(dtypes, dict):
        return input_spec(shape, dtypes)
    return {key: input_spec(shape[key], dtypes[key], key) for key in dtypes}


def input_spec(shape, dtype, name=None):
    return keras.InputSpec(shape=(None, *shape[1:]), dtype=dtype, name=name)


def input_dtype(tower, default):
    """The dtype that a model which declares its input, or reads ids, reads."""
    if not getattr(tower, "inputs", None):
        return default
    declared = keras.backend.standardize_dtype(tower.inputs[0].dtype)
    if not keras.backend.is_float_dtype(declared):
        return declared
    # A `Sequential` without an `Input` declares a float whatever it reads.
    return (
        default if isinstance(expected_units(tower)[0], TokenIds) else "float32"
    )
