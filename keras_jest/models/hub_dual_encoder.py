"""A keras-hub backbone as learner or reference."""

import math
from collections.abc import Mapping
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
from keras_jest.models.first_batch import checks_first_batch
from keras_jest.models.model_inputs import take_inputs
from keras_jest.models.pairs import make_pairs
from keras_jest.models.pairs import pairs_shape
from keras_jest.models.portable_config import portable_config
from keras_jest.models.units import ReadyPictures
from keras_jest.types import Pairs
from keras_jest.types import Shape
from keras_jest.types import Tensor

HEADS = ("siglip_head", "clip_head", "metaclip_2_head")
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


@keras_jest_export("keras_jest.models.HubDualEncoder")
@checks_first_batch()
class HubDualEncoder(EncodesApart, Exports, KeepsSublayers, keras.Model):
    """Makes a keras-hub CLIP or SigLIP backbone a learner or a reference.

    A backbone returns logits only; this returns its pairs, with the scale
    and the bias of the backbone's head (CLIP has no bias: 0). They give the
    backbone's own logits.

    Integer images are taken for pictures, 0 to 255, and rescaled as the
    published weights expect: to [-1, 1] for SigLIP, by the mean and
    deviation of CLIP's pictures for CLIP. Float images pass as they are:
    they come from a keras-hub image converter, and are refused in `fit`,
    `evaluate` and `predict` if they surely do not. A backbone that starts from
    scratch needs two repairs: a `SigLIPHead` starts at scale 1 and bias 0,
    so give `logit_scale=10, logit_bias=-10`; a new `CLIPVisionEncoder` has
    all patches at position 0, which is put right here.

    `encode_images` and `encode_texts` embed arrays or datasets of one kind
    alone, to NumPy arrays with rows of length 1. In a `call` of your own the
    towers are called one by one by `call_images` and `call_texts`, and `join`
    makes pairs of what they return.

    Args:
        backbone: A `keras_hub.models.CLIPBackbone`, `SigLIPBackbone` or
            `MetaCLIP2Backbone`. Its own weights are used, not a copy.
        logit_scale: float. If given, the head's scale is set to it.
        logit_bias: float. If given, the head's bias is set to it.
        **kwargs: Passed to `keras.Model`, such as `name`. The precision of
            the towers is the backbone's.

    Call arguments:
        inputs: A dict with `images` and `token_ids` as the backbone takes
            them. Other entries are left alone.

    Returns:
        Pairs, as `DualEncoder` does: always float32.

    Raises:
        ValueError: If the backbone is of another kind, or a bias is given
            to one that has none, or the scale is not positive.
        ImportError: If a saved one is loaded without keras-hub.

    Example:

    ```python
    import numpy as np
    from keras_jest.models import HubDualEncoder

    try:
        import keras_hub
    except ImportError:  # pip install "keras-jest[hub]"
        keras_hub = None

    if keras_hub:
        sizes = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2}
        backbone = keras_hub.models.SigLIPBackbone(
            keras_hub.models.SigLIPVisionEncoder(
                patch_size=8,
                intermediate_dim=16,
                image_shape=(16, 16, 3),
                **sizes,
            ),
            keras_hub.models.SigLIPTextEncoder(
                vocabulary_size=50,
                embedding_dim=8,
                intermediate_dim=16,
                max_sequence_length=8,
                **sizes,
            ),
        )
        model = HubDualEncoder(backbone, logit_scale=10, logit_bias=-10)
        pairs = model(
            {
                "images": np.zeros((2, 16, 16, 3), "uint8"),
                "token_ids": np.ones((2, 8), "int32"),
            }
        )
        print(pairs["image_embedding"].shape)  # (2, 8)
    ```

    Reference:
        - [KerasHub](https://keras.io/keras_hub/).
    """

    def __init__(
        self,
        backbone: keras.Model,
        logit_scale: float | None = None,
        logit_bias: float | None = None,
        **kwargs: Any,
    ) -> None:
        # In float32, so that the head's scale is not read in bfloat16; the
        # backbone's layers keep their own precision.
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.backbone = backbone
        self.input_keys = ("images", "token_ids")
        self.patch_sizes = None  # A backbone's patches have one size.
        self.initial_logit_scale = logit_scale
        self.initial_logit_bias = logit_bias
        self._set_head(logit_scale, logit_bias)
        self._repair_positions()
        image_shape = backbone.vision_encoder.image_shape
        length = backbone.text_encoder.max_sequence_length
        shapes = ((None, *image_shape), (None, length))
        self.build(dict(zip(self.input_keys, shapes, strict=True)))

    def build(self, input_shape: Mapping[str, Shape]) -> None:
        # The backbone's weights exist: Keras notes the shapes, for `export`.
        self.restore_sublayers()

    @property
    def head(self) -> keras.layers.Layer:
        """The backbone's layer that holds scale and bias."""
        for name in HEADS:
            if hasattr(self.backbone, name):
                return getattr(self.backbone, name)
        raise ValueError(
            "`backbone` must be a CLIP or SigLIP backbone of keras-hub. "
            f"Received: {type(self.backbone).__name__}. For other models "
            "make a `DualEncoder` of their two towers."
        )

    def _set_head(self, logit_scale, logit_bias):
        head = self.head
        if logit_scale is not None:
            if logit_scale <= 0:
                raise ValueError(
                    "`logit_scale` must be positive: it is kept as its "
                    f"logarithm. Received: logit_scale={logit_scale}"
                )
            head.logit_scale.assign(math.log(logit_scale))
        if logit_bias is not None:
            if not hasattr(head, "logit_bias"):
                raise ValueError(
                    f"{type(self.backbone).__name__} has no bias: leave "
                    f"`logit_bias` out. Received: logit_bias={logit_bias}"
                )
            head.logit_bias.assign(logit_bias)

    def _repair_positions(self):
        """Number the patches of a new `CLIPVisionEncoder`: all are 0."""
        embedding = self.backbone.vision_encoder.embedding
        positions = embedding.position_ids
        if not ops.convert_to_numpy(positions).any():
            positions.assign(ops.arange(positions.shape[1])[None])

    def call(self, inputs: Mapping[str, Tensor]) -> Pairs:
        images, token_ids = take_inputs(self, inputs)
        return self._join(self._images(images), self._texts(token_ids))

    def _images(self, images, patch_size=None):
        if patch_size is not None:
            raise only_one_patch_size(self, patch_size)
        return self.backbone.get_vision_embeddings(self._rescale(images))

    def _texts(self, token_ids):
        return self.backbone.get_text_embeddings(token_ids)

    def _join(self, image_embedding, text_embedding):
        head = self.head
        return make_pairs(
            image_embedding,
            text_embedding,
            ops.exp(head.logit_scale),
            getattr(head, "logit_bias", 0.0),
        )

    def _rescale(self, images):
        dtype = keras.backend.standardize_dtype(images.dtype)
        if keras.backend.is_float_dtype(dtype):
            return images
        images = ops.cast(images, "float32") / 255.0
        if hasattr(self.backbone, "siglip_head"):
            return images * 2.0 - 1.0
        return (images - ops.array(CLIP_MEAN)) / ops.array(CLIP_DEVIATION)

    @property
    def expected_units(self) -> list[Any]:
        (text_unit,) = expected_units(self.backbone.text_encoder)
        return [ReadyPictures(type(self).__name__), text_unit]

    @property
    def input_dtypes(self) -> dict[str, str]:
        """What the backbone reads, by `input_keys`."""
        return dict(zip(self.input_keys, ("float32", "int32"), strict=True))

    def compute_output_shape(
        self, input_shape: Mapping[str, Shape]
    ) -> dict[str, Shape]:
        image_shape, text_shape = take_inputs(self, input_shape)
        images = keras.KerasTensor(image_shape)
        token_ids = keras.KerasTensor(text_shape, dtype="int32")
        return pairs_shape(
            self.backbone.get_vision_embeddings(images).shape,
            self.backbone.get_text_embeddings(token_ids).shape,
        )

    def get_compile_config(self) -> dict[str, Any]:
        return portable_config(super().get_compile_config())

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "logit_scale": self.initial_logit_scale,
            "logit_bias": self.initial_logit_bias,
        }

    @classmethod
    def from_config(
        cls,
        config: dict[str, Any],
        custom_objects: dict[str, Any] | None = None,
    ) -> Self:
        try:
            import keras_hub  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "A saved HubDualEncoder needs keras-hub: "
                'pip install "keras-jest[hub]"'
            ) from error
        backbone = keras.saving.deserialize_keras_object(
            config["backbone"], custom_objects=custom_objects
        )
        return cls(**{**config, "backbone": backbone})
