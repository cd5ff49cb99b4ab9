"""SigLIP and its named sizes."""

from collections.abc import Sequence
from typing import Any
from typing import Self

from keras_jest.api_export import keras_jest_export
from keras_jest.models.dual_encoder import DualEncoder
from keras_jest.models.image_transformer import ImageTransformer
from keras_jest.models.text_transformer import TextTransformer

SIZES = {
    "mu": {"width": 32, "depth": 1, "num_heads": 2, "mlp_dim": 128},
    "Ti": {"width": 192, "depth": 12, "num_heads": 3, "mlp_dim": 768},
    "S": {"width": 384, "depth": 12, "num_heads": 6, "mlp_dim": 1536},
    "B": {"width": 768, "depth": 12, "num_heads": 12, "mlp_dim": 3072},
    "L": {"width": 1024, "depth": 24, "num_heads": 16, "mlp_dim": 4096},
    "So400m": {"width": 1152, "depth": 27, "num_heads": 16, "mlp_dim": 4304},
}


@keras_jest_export("keras_jest.models.SigLIP")
class SigLIP(DualEncoder):
    """The image-text model of the SigLIP paper, which JEST trains.

    A Vision Transformer with attention pooling and a text transformer of
    the same size that reads its last position; a scale that starts at 10
    and a bias that starts at -10. All of it starts as in the paper, and all
    weights exist as soon as it is made.

    The paper decays kernels only. In Keras say so to the optimizer before
    it is built, and mind that big_vision's decay of 1e-4 at a learning rate
    of 1e-3 is `weight_decay=0.1` here: see the example.

    Args:
        image_size: int. Height and width of the images, in pixels.
        patch_size: int. The side of a patch, in pixels.
        vocabulary_size: int. The number of token ids.
        sequence_length: int. The length of every text, in tokens.
        width: int. The width of tokens and embeddings, in both towers.
        depth: int. The number of blocks of each tower.
        num_heads: int. The number of attention heads; `None` means heads
            that are 64 wide, or one head.
        mlp_dim: int. The hidden width of the MLPs; `None` means four times
            `width`.
        patch_sizes: Ints: all patch sizes that a call may ask for, among
            them `patch_size`, at which the model works else, as in
            `predict`. Each must divide `image_size`. `None` means
            `patch_size` alone. See `ImageTransformer`.
        **kwargs: Passed to `DualEncoder`, such as `logit_scale`, `dtype`.
            Towers of different sizes are a `DualEncoder` of an
            `ImageTransformer` and a `TextTransformer`.

    Call arguments:
        inputs: A dict with `images`, `(n, image_size, image_size, 3)`, uint8
            or float from 0 to 255, and `token_ids`, `(n, sequence_length)`,
            int. Other entries are left alone.
        patch_size: int. One of `patch_sizes`; `None` means the model's own.

    Returns:
        Pairs, as `DualEncoder` does, with embeddings of `width`.

    Raises:
        ValueError: If `num_heads` does not divide `width`, `patch_sizes`
            lacks `patch_size` or has sizes that do not divide `image_size`,
            or a call asks for another size.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_jest.models import SigLIP

    model = SigLIP.from_variant(
        "mu/8", image_size=16, vocabulary_size=100, sequence_length=8
    )
    batch = {
        "images": np.zeros((2, 16, 16, 3), "uint8"),
        "token_ids": np.zeros((2, 8), "int32"),
    }
    print(model(batch)["text_embedding"].shape)  # (2, 32)

    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.1, beta_2=0.95)
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.variables if v.name != "kernel"]
    )

    flexible = SigLIP.from_variant(
        "mu/8",
        image_size=16,
        vocabulary_size=100,
        sequence_length=8,
        patch_sizes=(8, 16),
    )
    coarse = flexible(batch, patch_size=16)
    print(flexible.forward_flops_at(16) / flexible.forward_flops)
    ```

    Reference:
        - [Sigmoid Loss for Language Image Pre-Training](
          https://arxiv.org/abs/2303.15343).
        - [FlexiViT: One Model for All Patch Sizes](
          https://arxiv.org/abs/2212.08013).
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        vocabulary_size: int = 32_000,
        sequence_length: int = 64,
        width: int = 768,
        depth: int = 12,
        num_heads: int | None = None,
        mlp_dim: int | None = None,
        patch_sizes: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        sizes: dict[str, Any] = {
            "width": width,
            "depth": depth,
            "num_heads": num_heads,
            "mlp_dim": mlp_dim,
            "dtype": kwargs.get("dtype"),
        }
        super().__init__(
            ImageTransformer(
                image_size,
                patch_size,
                patch_sizes=patch_sizes,
                name="image",
                **sizes,
            ),
            TextTransformer(
                vocabulary_size, sequence_length, name="text", **sizes
            ),
            **kwargs,
        )
        shapes = ((None, image_size, image_size, 3), (None, sequence_length))
        self.build(dict(zip(self.input_keys, shapes, strict=True)))

    @classmethod
    def from_variant(cls, variant: str, **kwargs: Any) -> Self:
        """Make a model of one of the named sizes.

        Args:
            variant: str. Size and patch size, such as `"B/16"`; the sizes
                are `mu`, `Ti`, `S`, `B`, `L` and `So400m`, the patch size
                any number of pixels.
            **kwargs: Passed to `SigLIP`, such as `image_size`; they win over
                the sizes of the variant.

        Returns:
            A `SigLIP`.

        Raises:
            ValueError: If there is no such size.
        """
        size, _, patch_size = variant.partition("/")
        if size not in SIZES or not patch_size.isdigit():
            raise ValueError(
                "`variant` must be a size and a patch size, such as 'B/16', "
                f"with a size of {sorted(SIZES)}. Received: variant="
                f"{variant!r}"
            )
        sizes = {"patch_size": int(patch_size), **SIZES[size]}
        return cls(**{**sizes, **kwargs})

    @property
    def forward_flops(self) -> int:
        """FLOPs of one pair's forward pass, two per multiply-add."""
        return self.forward_flops_at(self.image_encoder.patch_size)

    def forward_flops_at(self, patch_size: int) -> int:
        """FLOPs of one pair's forward pass in patches of another size.

        Args:
            patch_size: int. One of `patch_sizes`, in pixels.

        Returns:
            int: FLOPs, two per multiply-add. The text's are the same at all
            patch sizes.

        Raises:
            ValueError: If the model has no such patch size.
        """
        image_flops = self.image_encoder.forward_flops_at(patch_size)
        return image_flops + self.text_encoder.forward_flops

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        image = config.pop("image_encoder")["config"]
        text = config.pop("text_encoder")["config"]
        for name in ("image_size", "patch_size"):
            config[name] = image[name]
        for name in ("vocabulary_size", "sequence_length"):
            config[name] = text[name]
        for name in ("width", "depth", "num_heads", "mlp_dim"):
            config[name] = image[name]
        if "patch_sizes" in image:
            config["patch_sizes"] = image["patch_sizes"]
        return config

    @classmethod
    def from_config(
        cls,
        config: dict[str, Any],
        custom_objects: dict[str, Any] | None = None,
    ) -> Self:
        return cls(**config)
