"""Models whose towers can be called one by one."""

import keras


class EncodesApart:
    """Adds the parts of which a call of an image-text model is made.

    To be named before `keras.Model` among the bases of a class that has
    `_images(images, patch_size)`, `_texts(token_ids)` and `_join(image, text)`
    and of them makes its `call`.

    A part is run as Keras runs the whole: inputs and weights in the precision
    of the model, and layers that are told whether they train. So the parts
    give what a call gives, to the last bit, wherever they are called: by
    themselves, or in the `call` of a layer or model around this one.
    """

    def encode_images(self, images, patch_size=None, training=None):
        """Embed images alone, as a call of the model does.

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

    def encode_texts(self, token_ids, training=None):
        """Embed texts alone, as a call of the model does.

        Args:
            token_ids: What the text encoder takes, for `n` texts.
            training: bool, as in `encode_images`.

        Returns:
            A tensor of shape `(n, d)`, of any length and dtype.

        Raises:
            ValueError: If the model is not built.
        """
        return self._run_apart(self._texts, token_ids, training)

    def join(self, image_embedding, text_embedding):
        """Make pairs of what `encode_images` and `encode_texts` return.

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

    def _run_apart(self, function, inputs, training=None, autocast=True):
        if not self.built:
            raise ValueError(
                "The parts of a model can be called when it is built. "
                f"Received: '{self.name}', which is not. Call it on a batch "
                "first, or its `build`."
            )
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
