"""Captions to token ids of a fixed length."""

import os
from collections.abc import Iterable
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Self

import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.data.as_captions import as_captions
from keras_jest.data.as_captions import is_one_caption
from keras_jest.data.require import require
from keras_jest.data.whole_file import whole_file
from keras_jest.types import StrPath

if TYPE_CHECKING:
    import tokenizers

PADDING, END = "<pad>", "</s>"


@keras_jest_export("keras_jest.data.Tokenizer")
class Tokenizer:
    """Turns captions into rows of token ids, each with its end at the end.

    Wraps a Hugging Face `tokenizers` model. A caption is cut to
    `sequence_length - 1` tokens, the end token follows, and the rest is
    padding. Padding is the end token again unless the model was trained with
    another, so the last position is always the end: SigLIP's text tower
    reads the caption there. Text that spells a special token gets no special
    id. It may go to grain's worker processes.

    Args:
        tokenizer: path of a `tokenizer.json`, or a `tokenizers.Tokenizer`.
            Its own truncation and padding are turned off; the special tokens
            that it puts around a text stay.
        sequence_length: int. The length of every row.
        end_token: str. The token that ends a caption.
        padding_token: str. What fills a row; None is the end token.

    Raises:
        ValueError: There is no such file, or a token is not in its
            vocabulary.

    Example:

    ```python
    from keras_jest.data import Tokenizer

    captions = ["a red square", "a blue disc", "two red discs"]
    tokenizer = Tokenizer.train(captions, vocabulary_size=280,
                                sequence_length=16)
    tokenizer(["A red disc", "a square"]).shape  # (2, 16)
    ```

    Source: SigLIP's preprocessing, https://arxiv.org/abs/2303.15343; big_vision
    calls it a "sticky" end.
    """

    def __init__(
        self,
        tokenizer: "StrPath | tokenizers.Tokenizer",
        sequence_length: int = 64,
        end_token: str = END,
        padding_token: str | None = None,
    ) -> None:
        if sequence_length < 1:
            raise ValueError(
                "Expected `sequence_length` to be at least 1, for the end "
                f"token. Received: sequence_length={sequence_length}"
            )
        if isinstance(tokenizer, (str, os.PathLike)):
            tokenizer = read_tokenizer(tokenizer)
        self.sequence_length = sequence_length
        self._model = plain_copy(tokenizer)
        self._end = self._id(end_token)
        self._padding = self._id(padding_token or end_token)

    @classmethod
    def train(
        cls,
        captions: Iterable[str],
        vocabulary_size: int = 8000,
        sequence_length: int = 64,
    ) -> Self:
        """Train a tokenizer on captions.

        Byte pairs, lower-cased, so that any text in any script has tokens.
        The same captions in the same order give the same tokenizer.

        Args:
            captions: Iterable of str.
            vocabulary_size: int, at least 258: the bytes and two special
                tokens. There are fewer where the captions have no more.
            sequence_length: int. The length of every row.

        Returns:
            A `Tokenizer`. Id 0 is reserved, id 1 is the end token.
        """
        if vocabulary_size < 258:
            raise ValueError(
                "Expected `vocabulary_size` to be at least 258, for the bytes "
                "and two special tokens. Received: "
                f"vocabulary_size={vocabulary_size}"
            )
        tokenizers = require("tokenizers")
        model = tokenizers.Tokenizer(tokenizers.models.BPE())
        model.normalizer = tokenizers.normalizers.Sequence(
            [tokenizers.normalizers.NFKC(), tokenizers.normalizers.Lowercase()]
        )
        model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
        model.decoder = tokenizers.decoders.ByteLevel()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            special_tokens=[PADDING, END],
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        model.train_from_iterator(captions, trainer)
        return cls(model, sequence_length)

    @property
    def vocabulary_size(self) -> int:
        """How many ids there are: the size of an embedding table."""
        return 1 + max(self._model.get_vocab(with_added_tokens=True).values())

    def __call__(
        self, captions: str | bytes | Sequence[str | bytes] | np.ndarray
    ) -> np.ndarray:
        """Tokenize captions.

        Args:
            captions: list, tuple or array of `n` captions, str or bytes of
                UTF-8; or one of them.

        Returns:
            An array of shape `(n, sequence_length)`, int32; for one caption
            that is in no list, its row, `(sequence_length,)`.

        Raises:
            ValueError: One of them is no text.
        """
        if is_one_caption(captions):
            return self([np.asarray(captions, object).item()])[0]
        captions = as_captions(captions)
        rows = np.full(
            (len(captions), self.sequence_length), self._padding, "int32"
        )
        for row, caption in zip(rows, captions, strict=True):
            ids = self._model.encode(caption).ids
            if ids and ids[-1] == self._end:
                ids.pop()
            ids = ids[: self.sequence_length - 1]
            row[: len(ids)] = ids
            row[len(ids)] = self._end
        return rows

    def decode(
        self, token_ids: Sequence[int] | Sequence[Sequence[int]] | np.ndarray
    ) -> str | list[str]:
        """Return the captions of rows of ids, or of one, as text."""
        token_ids = np.asarray(token_ids)
        if token_ids.ndim == 1:
            return self._model.decode(token_ids.tolist())
        return self._model.decode_batch(token_ids.tolist())

    def save(self, path: StrPath) -> None:
        """Write the vocabulary as a `tokenizer.json`."""
        with whole_file(path) as file:
            file.write(self._model.to_str(pretty=True).encode())

    def __getstate__(self):
        return self.__dict__ | {"_model": self._model.to_str()}

    def __setstate__(self, state):
        self.__dict__.update(state)
        model = require("tokenizers").Tokenizer.from_str(state["_model"])
        self._model = plain_copy(model)

    def _id(self, token):
        """Return the id of a token that must exist."""
        number = self._model.token_to_id(token)
        if number is None:
            raise ValueError(
                "Expected a token of the vocabulary; name the tokenizer's own "
                f"by `end_token` and `padding_token`. Received: {token!r}"
            )
        return number


def read_tokenizer(path):
    """Read a `tokenizer.json`."""
    tokenizers = require("tokenizers")
    try:
        return tokenizers.Tokenizer.from_file(os.fspath(path))
    except Exception as error:  # The library raises nothing narrower.
        raise ValueError(
            "Expected the path of a `tokenizer.json` of Hugging Face. "
            f"Received: {os.fspath(path)!r} ({error})"
        ) from error


def plain_copy(model):
    """Return a copy that neither cuts nor pads, and trusts no caption."""
    model = type(model).from_str(model.to_str())
    model.no_truncation()
    model.no_padding()
    model.encode_special_tokens = True
    return model
