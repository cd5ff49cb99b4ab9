"""Two towers that meet in one space."""

import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Self

import keras
from keras import ops

from keras_jest.api_export import keras_jest_export
from keras_jest.layers.keeps_sublayers import KeepsSublayers
from keras_jest.layers.patch_sizes import only_one_patch_size
from keras_jest.models.encodes_apart import EncodesApart
from keras_jest.models.expected_units import expected_units
from keras_jest.models.exports import Exports
from keras_jest.models.exports import input_dtype
from keras_jest.models.first_batch import checks_first_batch
from keras_jest.models.model_inputs import take_inputs
from keras_jest.models.pairs import make_pairs
from keras_jest.models.pairs import pairs_shape
from keras_jest.models.portable_config import portable_config
from keras_jest.types import Pairs
from keras_jest.types import Shape
from keras_jest.types import Tensor


@keras_jest_export("keras_jest.models.DualEncoder")
@checks_first_batch()
class DualEncoder(EncodesApart, Exports, KeepsSublayers, keras.Model):
    """Makes an image-text model of any two Keras towers.

    The result is what JEST trains: its outputs are pairs, and the sigmoid
    and softmax losses of `keras_jest.losses` read them. For the sigmoid
    loss keep the defaults; for the softmax loss of CLIP give
    `logit_scale=1 / 0.07, logit_bias=None`.

    The first batch of each `fit`, `evaluate` and `predict` is checked: token
    ids against the vocabulary, and float pictures against a tower that
    rescales 0 to 255 itself, if the towers are ours, of layers in a row, or
    functional. A direct call of the model is not checked.

    `encode_images` and `encode_texts` embed arrays or datasets of one kind
    alone, to NumPy arrays with rows of length 1. In a `call` of your own the
    towers are called one by one by `call_images` and `call_texts`, and `join`
    makes pairs of what they return.

    Args:
        image_encoder: A Keras model or layer that maps images to embeddings
            of shape `(n, d)`.
        text_encoder: A Keras model or layer that maps token ids to
            embeddings of shape `(n, d)`.
        logit_scale: float. The inverse temperature at the start. It is
            trained as its logarithm.
        logit_bias: float or `None`. The bias at the start; `None` means no
            bias, and the pairs then hold zeros.
        input_keys: Two strings: the names of the images and of the token
            ids in a batch. Other entries of a batch are left alone.
        **kwargs: Passed to `keras.Model`, such as `dtype`, `name`.

    Call arguments:
        inputs: A dict that holds the two entries named by `input_keys`.
        patch_size: int. The size of patches for an image encoder with
            `patch_sizes`, such as an `ImageTransformer` made with them;
            `None` means its own.

    Returns:
        Pairs: a dict of float32 tensors whatever the dtype policy,
        `image_embedding` and `text_embedding` of shape `(n, d)` with rows
        of length 1, `logit_scale` and `logit_bias` of shape `(n,)`.

    Raises:
        ValueError: If the scale is not positive, a batch lacks an input or
            is in other units, the towers do not return embeddings of one
            width, or the image encoder has no such patch size.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_jest.models import DualEncoder

    model = DualEncoder(
        image_encoder=keras.Sequential(
            [
                keras.layers.Rescaling(1 / 127.5, offset=-1.0),
                keras.layers.Conv2D(8, 4, strides=4, activation="gelu"),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(16),
            ]
        ),
        text_encoder=keras.Sequential(
            [
                keras.layers.Embedding(100, 16),
                keras.layers.GlobalAveragePooling1D(),
            ]
        ),
    )
    batch = {
        "images": np.zeros((2, 16, 16, 3), "uint8"),
        "token_ids": np.zeros((2, 8), "int32"),
    }
    print(model(batch)["image_embedding"].shape)  # (2, 16)
    ```

    Reference:
        - [Sigmoid Loss for Language Image Pre-Training](
          https://arxiv.org/abs/2303.15343), section 3.
    """

    def __init__(
        self,
        image_encoder: keras.layers.Layer,
        text_encoder: keras.layers.Layer,
        logit_scale: float = 10.0,
        logit_bias: float | None = -10.0,
        input_keys: Sequence[str] = ("images", "token_ids"),
        **kwargs: Any,
    ) -> None:
        if logit_scale <= 0:
            raise ValueError(
                "`logit_scale` must be positive: it is kept as its "
                f"logarithm. Received: logit_scale={logit_scale}"
            )
        super().__init__(**kwargs)
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.initial_logit_scale = logit_scale
        self.initial_logit_bias = logit_bias
        self.input_keys = tuple(input_keys)

    def build(self, input_shape: Mapping[str, Shape]) -> None:
        self._check_widths(*self._embedding_shapes(input_shape))
        # In bfloat16 a scale of 100 becomes 99: these two are never cast.
        self.log_logit_scale = self._add_scalar(
            math.log(self.initial_logit_scale), "logit_scale"
        )
        if self.initial_logit_bias is not None:
            self.logit_bias = self._add_scalar(
                self.initial_logit_bias, "logit_bias"
            )
        self.restore_sublayers()

    def _add_scalar(self, value, name):
        return self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(value),
            dtype="float32",
            autocast=False,
            name=name,
        )

    def call(
        self, inputs: Mapping[str, Tensor], patch_size: int | None = None
    ) -> Pairs:
        images, token_ids = take_inputs(self, inputs)
        return self._join(
            self._images(images, patch_size), self._texts(token_ids)
        )

    def _images(self, images, patch_size=None):
        if patch_size is None:
            return self.image_encoder(images)
        if not hasattr(self.image_encoder, "patch_sizes"):
            raise only_one_patch_size(self, patch_size)
        return self.image_encoder(images, patch_size=patch_size)

    def _texts(self, token_ids):
        return self.text_encoder(token_ids)

    def _join(self, image_embedding, text_embedding):
        has_bias = self.initial_logit_bias is not None
        return make_pairs(
            image_embedding,
            text_embedding,
            ops.exp(self.log_logit_scale),
            self.logit_bias if has_bias else 0.0,
        )

    @property
    def patch_size(self) -> int | None:
        """The patch size of the image encoder, `None` if it tells none."""
        return getattr(self.image_encoder, "patch_size", None)

    @property
    def patch_sizes(self) -> Sequence[int] | None:
        """The patch sizes of the image encoder, `None` if it has one alone."""
        return getattr(self.image_encoder, "patch_sizes", None)

    @property
    def expected_units(self) -> list[Any]:
        towers = (self.image_encoder, self.text_encoder)
        return [expected_units(tower)[0] for tower in towers]

    @property
    def input_dtypes(self) -> dict[str, str]:
        """What the towers say that they read, by `input_keys`."""
        dtypes = (
            input_dtype(self.image_encoder, "float32"),
            input_dtype(self.text_encoder, "int32"),
        )
        return dict(zip(self.input_keys, dtypes, strict=True))

    def compute_output_shape(
        self, input_shape: Mapping[str, Shape]
    ) -> dict[str, Shape]:
        return pairs_shape(*self._embedding_shapes(input_shape))

    def compute_output_spec(
        self,
        inputs: Mapping[str, keras.KerasTensor],
        patch_size: int | None = None,
        training: bool | None = None,
    ) -> dict[str, keras.KerasTensor]:
        shapes = self._embedding_shapes(
            {key: tuple(inputs[key].shape) for key in self.input_keys},
            patch_size,
        )
        return {
            name: keras.KerasTensor(shape, dtype="float32")
            for name, shape in pairs_shape(*shapes).items()
        }

    def _embedding_shapes(self, input_shape, patch_size=None):
        """Call the towers symbolically, which builds them if need be."""
        image_shape, text_shape = take_inputs(self, input_shape)
        images = keras.KerasTensor(image_shape)
        token_ids = keras.KerasTensor(text_shape, dtype="int32")
        return (
            self._images(images, patch_size).shape,
            self._texts(token_ids).shape,
        )

    def _check_widths(self, image_shape, text_shape):
        ranks = (len(image_shape), len(text_shape))
        if ranks != (2, 2) or image_shape[1] != text_shape[1]:
            raise ValueError(
                "The two encoders must return embeddings of shape (n, d) "
                "with the same d; a Dense layer at the end of one mends it. "
                f"Received: image_encoder gives {image_shape}, "
                f"text_encoder gives {text_shape}"
            )

    def get_compile_config(self) -> dict[str, Any]:
        return portable_config(super().get_compile_config())

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "image_encoder": portable_config(serialize(self.image_encoder)),
            "text_encoder": portable_config(serialize(self.text_encoder)),
            "logit_scale": self.initial_logit_scale,
            "logit_bias": self.initial_logit_bias,
            "input_keys": list(self.input_keys),
        }

    @classmethod
    def from_config(
        cls,
        config: dict[str, Any],
        custom_objects: dict[str, Any] | None = None,
    ) -> Self:
        config = dict(config)
        for name in ("image_encoder", "text_encoder"):
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
        return cls(**config)
