"""Retrieval on a test set, as training goes on."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.callbacks.every_few_steps import EveryFewSteps
from keras_jest.callbacks.logs_evaluations import LogsEvaluations
from keras_jest.callbacks.logs_evaluations import check_every
from keras_jest.evaluation.retrieval import check_ks
from keras_jest.evaluation.retrieval import check_rows
from keras_jest.evaluation.retrieval import retrieval
from keras_jest.models.data_loaders import check_no_texts
from keras_jest.models.equal_rows import check_equal_rows
from keras_jest.models.model_inputs import model_inputs
from keras_jest.types import Logs

SIDES = ("image_to_text", "text_to_image")


@keras_jest_export("keras_jest.callbacks.RetrievalEvaluation")
class RetrievalEvaluation(LogsEvaluations, EveryFewSteps):
    """Adds retrieval recalls to the logs of an epoch, or of every few steps.

    Keras metrics compare predictions with targets, row by row; retrieval
    needs all embeddings of a test set at once.

    The logs of each epoch get, for each rank of `ks`, here 10:

    - `image_to_text_recall@10`: the share of images whose text is found.
    - `text_to_image_recall@10`: the share of texts whose image is found.
    - `mean_recall@10`: the mean of both.

    More is better. What monitors one of them says so by `mode="max"`, and has
    no `val_` before the name: `EarlyStopping("mean_recall@10", mode="max")`,
    or `ModelCheckpoint(path, "mean_recall@10", mode="max",
    save_best_only=True)`. In the `fit` of a `keras_jest.JESTModel` and of its
    like it may stand anywhere in the list of callbacks, `mode` may be left
    out, and a name that surely nobody logs, such as `val_mean_recall@10`, is
    told before the first step. What shows or writes whole logs, such as
    `CSVLogger` and `TensorBoard`, stands behind this one, and in Keras' own
    `fit`, of any other model, what monitors, too.

    Args:
        arrays: dict of arrays, the inputs of the model for the test set.
        ks: sequence of ints, the ranks to report.
        every: int or `None`. Evaluate after so many training steps, and at
            the end of `fit`, for `history` alone; `None` is at the end of
            each epoch, for its logs, too.
        batch_size: int, rows at a time.
        image_of_text: optional int array `(num_texts,)`, the row of each
            text's image, where images have several texts, as in
            `keras_jest.evaluation.retrieval`. `arrays` then hold other
            numbers of images and texts.

    After `fit`, `history` holds one dict per evaluation, with these and
    `step`, the number of training steps so far.

    Raises:
        ValueError: if `every` or a rank is below 1; when `fit` begins, if
            the arrays lack an input of the model or are of numbers of rows
            that cannot belong together, or images have several texts and the
            model does not embed them apart, as a `DualEncoder` does.

    Example:

    ```python
    from keras_jest.callbacks import RetrievalEvaluation

    test = {"images": ..., "token_ids": ...}
    callback = RetrievalEvaluation(test, every=100)
    # model.fit(super_batches, callbacks=[callback])
    ```
    """

    def __init__(
        self,
        arrays: dict[str, Any],
        ks: Sequence[int] = (1, 10),
        every: int | None = None,
        batch_size: int = 256,
        image_of_text: Sequence[int] | np.ndarray | None = None,
    ) -> None:
        check_every(every)
        check_ks(ks)
        super().__init__(every)
        self.arrays = arrays
        self.ks = ks
        self.batch_size = batch_size
        self.image_of_text = image_of_text
        self.names = [
            f"{side}_recall@{k}" for k in ks for side in (*SIDES, "mean")
        ]

    def on_train_begin(self, logs: Logs = None) -> None:
        model = self.evaluated
        inputs = model_inputs(model, self.arrays, "evaluated model")
        check_no_texts(inputs)
        if self.image_of_text is None:
            check_equal_rows(inputs)
            return
        if not hasattr(model, "encode_images"):
            raise ValueError(
                "Images with several texts are embedded apart. Wrap two "
                "towers in a `keras_jest.models.DualEncoder`. Received: "
                f"{model}, `image_of_text` of {len(self.image_of_text)} texts"
            )
        images, texts = (inputs[key] for key in model.input_keys)
        check_rows(images, texts, np.asarray(self.image_of_text))

    def evaluate(self) -> dict[str, float]:
        """Return the recalls that the model has now, and their means."""
        recalls = retrieval(self._embeddings(), self.ks, self.image_of_text)
        means = {
            f"mean_recall@{k}": sum(
                recalls[f"{side}_recall@{k}"] for side in SIDES
            )
            / len(SIDES)
            for k in self.ks
        }
        return {**recalls, **means}

    def _embeddings(self):
        model = self.evaluated
        arrays = model_inputs(model, self.arrays)
        options = {"batch_size": self.batch_size, "verbose": 0}
        if self.image_of_text is None:
            return model.predict(arrays, **options)
        return {
            "image_embedding": model.encode_images(arrays, **options),
            "text_embedding": model.encode_texts(arrays, **options),
        }
