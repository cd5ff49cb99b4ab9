"""Models whose towers can be called and run one by one."""

from typing import Any

import keras
import numpy as np

from keras_jest.models.data_loaders import check_no_texts
from keras_jest.models.data_loaders import with_tuples
from keras_jest.models.equal_rows import check_equal_rows
from keras_jest.models.tower import IMAGES
from keras_jest.models.tower import TEXTS
from keras_jest.models.tower import Tower
from keras_jest.models.tower import Towers
from keras_jest.types import Pairs
from keras_jest.types import Tensor


class EncodesApart:
    """Adds the parts of which a call of an image-text model is made.

    To be named before `keras.Model` among the bases of a class that has
    `_images(images, patch_size)`, `_texts(token_ids)` and `_join(image, text)`
    and of them makes its `call`.

    `encode_images` and `encode_texts` embed arrays and datasets, and return
    NumPy arrays. `call_images`, `call_texts` and `join` are for who writes a
    `call` of tensors: a part is run as Keras runs the whole, inputs and
    weights in the precision of the model, and layers that are told whether
    they train. So the parts give what a call gives, to the last bit, wherever
    they are called: by themselves, or in the `call` of a layer or model
    around this one.
    """

    _towers = None

    def encode_images(
        self,
        images: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
    ) -> np.ndarray:
        """Embed images, however many there are: for search, or as features.

        It is compiled and runs as `predict` does, without the text tower.

        Args:
            images: array of `n` images, as the model takes them, a dict that
                holds one, or any dataset that `predict` takes, of batches of
                images, of dicts that hold them, or of tuples that begin with
                one of these.
            batch_size: int, rows at a time of an array, 32 by default.
            verbose: as in `keras.Model.predict`.

        Returns:
            A NumPy array of shape `(n, d)`, float32, with rows of length 1.

        Raises:
            ValueError: If the model is not built, or the images are in other
                units than it expects.
        """
        return self._encode(IMAGES, images, batch_size, verbose)

    def encode_texts(
        self,
        token_ids: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
    ) -> np.ndarray:
        """Embed texts, however many there are, as `encode_images` does.

        Args:
            token_ids: int array of shape `(n, length)`, what the tokenizer of
                the model returns, a dict that holds it, or a dataset of
                batches of them, as in `encode_images`.
            batch_size: int, as in `encode_images`.
            verbose: as in `keras.Model.predict`.

        Returns:
            A NumPy array of shape `(n, d)`, float32, with rows of length 1.

        Raises:
            ValueError: If the model is not built, or has no such token ids.
        """
        return self._encode(TEXTS, token_ids, batch_size, verbose)

    def image_tower(
        self, head: keras.layers.Layer | None = None
    ) -> keras.Model:
        """The image tower as a model of its own, of the same weights.

        Args:
            head: optional Keras layer, called with the embedding, of unit
                length, and the targets of a batch, `head(embedding, y)`. It
                has a method `check(y)`, which raises if they are none.

        Returns:
            A `keras.Model` to `predict` with, from images to embeddings, or
            from tuples of images and targets to what the head returns.
        """
        self._check_is_built()
        return Tower(self, IMAGES, head)

    def predict(
        self, x: Any, *args: Any, **kwargs: Any
    ) -> dict[str, np.ndarray]:
        """Return the pairs of images and texts, as `keras.Model.predict`."""
        check_equal_rows(x)
        if isinstance(x, dict):
            check_no_texts(x)
        return super().predict(with_tuples(x), *args, **kwargs)

    def call_images(
        self,
        images: Any,
        patch_size: int | None = None,
        training: bool | None = None,
    ) -> Tensor:
        """Run the image tower as a part of a call of the model.

        Args:
            images: What the image encoder takes, for `n` images.
            patch_size: int. One of the model's `patch_sizes`; `None` means
                that at which it works when none is asked for.
            training: bool. `None` means that of the layer around, and
                `False` if there is none. In the `call` of a layer around
                give it to all parts or to none: as everywhere in Keras what
                is given to one holds for those after it.

        Returns:
            A tensor of shape `(n, d)`, of any length and dtype.

        Raises:
            ValueError: If the model is not built, or has no such patch size.
        """
        return self._run_apart(
            lambda images: self._images(images, patch_size), images, training
        )

    def call_texts(
        self, token_ids: Any, training: bool | None = None
    ) -> Tensor:
        """Run the text tower as a part of a call of the model.

        Args:
            token_ids: What the text encoder takes, for `n` texts.
            training: bool, as in `call_images`.

        Returns:
            A tensor of shape `(n, d)`, of any length and dtype.

        Raises:
            ValueError: If the model is not built.
        """
        return self._run_apart(self._texts, token_ids, training)

    def join(self, image_embedding: Tensor, text_embedding: Tensor) -> Pairs:
        """Make pairs of what `call_images` and `call_texts` return.

        Args:
            image_embedding: Tensor of shape `(n, d)`.
            text_embedding: Tensor of shape `(n, d)`.

        Returns:
            Pairs, as a call of the model does.

        Raises:
            ValueError: If the model is not built.
        """
        return self._run_apart(
            lambda embeddings: self._join(*embeddings),
            (image_embedding, text_embedding),
            autocast=False,
        )

    def _encode(self, side, x, batch_size, verbose):
        self._check_is_built()
        if self._towers is None:
            self._towers = Towers(self)
        return self._towers[side].predict(x, batch_size, verbose)

    def _check_is_built(self):
        if not self.built:
            raise ValueError(
                "The parts of a model can be called when it is built. "
                f"Received: '{self.name}', which is not. Call it on a batch "
                "first, or its `build`."
            )

    def _run_apart(self, function, inputs, training=None, autocast=True):
        self._check_is_built()
        # An explicit None would hide the mode of the layer around.
        options = {} if training is None else {"training": training}
        part = PartOfCall(
            function, name=self.name, dtype=self.dtype_policy, autocast=autocast
        )
        return part(inputs, **options)


class PartOfCall(keras.layers.Layer):
    """Runs a function as the `call` of a layer."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, inputs):
        return self.function(inputs)
