"""Zero-shot classification of a test set, as training goes on."""

import collections.abc
from collections.abc import Sequence
from typing import Any

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.callbacks.every_few_steps import EveryFewSteps
from keras_jest.callbacks.logs_evaluations import LogsEvaluations
from keras_jest.callbacks.logs_evaluations import check_every
from keras_jest.evaluation.class_ranks import check_labels
from keras_jest.evaluation.prompts import checked_names
from keras_jest.evaluation.prompts import checked_templates
from keras_jest.evaluation.zero_shot_classifier import ZeroShotClassifier
from keras_jest.types import Logs
from keras_jest.types import TokenizerLike


@keras_jest_export("keras_jest.callbacks.ZeroShotEvaluation")
class ZeroShotEvaluation(LogsEvaluations, EveryFewSteps):
    """Adds zero-shot accuracies to the logs of an epoch, or of every few steps.

    See `keras_jest.evaluation.ZeroShotClassifier`. The logs of each epoch get,
    after `prefix`, and by the names of CLIP_benchmark:

    - `acc1`: the share of pictures whose class is found.
    - `acc5`: that of those whose class is among the five most similar, if
      there are five classes.
    - `mean_per_class_recall`: the mean of `acc1` over classes with pictures.

    More is better. What monitors one of them says so by `mode="max"`, and has
    no `val_` before the name: `EarlyStopping("acc1", mode="max")`. In the
    `fit` of a `keras_jest.JESTModel` and of its like it may stand anywhere in
    the list of callbacks, `mode` may be left out, and a name that surely nobody
    logs, such as `val_acc1`, is told before the first step. What shows or
    writes whole logs, such as `CSVLogger` and `TensorBoard`, stands behind
    this one, and in Keras' own `fit`, of any other model, what monitors, too.

    Args:
        data: tuple `(images, labels)` of arrays, or a dataset of batches
            `(images, labels)` that can be read again and again: labels are
            ints, the numbers of classes in `class_names`.
        tokenizer: that of the model, as for `ZeroShotClassifier`.
        class_names: list of str; entry `i` is the name of label `i`.
        templates: list of str with `"{}"` where the name belongs.
        every: int or `None`. Evaluate after so many training steps, and at
            the end of `fit`, for `history` alone; `None` is at the end of
            each epoch, for its logs, too.
        batch_size: int, prompts and pictures of an array at a time.
        prefix: str before the names in the logs, to tell test sets apart.

    After `fit`, `history` holds one dict per evaluation, with these and
    `step`, the number of training steps so far.

    Raises:
        ValueError: names, templates or `every` make no sense, or the data can
            be read once only; when `fit` begins, if the model has no towers,
            the tokenizer gives no rows of one length, or labels of an array
            are no numbers of classes.

    Example:

    ```python
    from keras_jest.callbacks import ZeroShotEvaluation

    images, labels, tokenizer = ..., ..., ...
    callback = ZeroShotEvaluation(
        (images, labels), tokenizer, ["cat", "dog"], ["a photo of a {}."]
    )
    # model.fit(super_batches, callbacks=[callback])
    ```
    """

    def __init__(
        self,
        data: Any,
        tokenizer: TokenizerLike,
        class_names: Sequence[str],
        templates: Sequence[str],
        every: int | None = None,
        batch_size: int = 256,
        prefix: str = "",
    ) -> None:
        check_every(every)
        check_can_be_read_again(data)
        super().__init__(every)
        self.data = data
        self.tokenizer = tokenizer
        self.class_names = checked_names(class_names)
        self.templates = checked_templates(templates)
        self.batch_size = batch_size
        self.prefix = prefix
        names = ("acc1", "acc5", "mean_per_class_recall")
        self.names = [
            prefix + name
            for name in names
            if name != "acc5" or len(self.class_names) >= 5
        ]
        self._classifier = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self._classifier_of(self.evaluated)
        if isinstance(self.data, tuple):
            labels = keras.ops.convert_to_numpy(self.data[1])
            check_labels(labels, len(self.class_names))

    def evaluate(self) -> dict[str, float]:
        """Return the accuracies that the model has now."""
        classifier = self._classifier_of(self.evaluated)
        data = self.data if isinstance(self.data, tuple) else (self.data,)
        metrics = classifier.evaluate(
            *data, batch_size=self.batch_size, verbose=0
        )
        return {self.prefix + name: of for name, of in metrics.items()}

    def _classifier_of(self, model):
        """One for all evaluations: its programs are compiled once."""
        if self._classifier is None or self._classifier.model is not model:
            self._classifier = ZeroShotClassifier(
                model, self.tokenizer, self.class_names, self.templates
            )
        return self._classifier


def check_can_be_read_again(data):
    """Raise if data would be at their end after the first evaluation."""
    if isinstance(data, collections.abc.Iterator):
        raise ValueError(
            "Expected data that can be read at every evaluation: a tuple "
            "`(images, labels)` of arrays, or a dataset. Received: an "
            f"iterator of type {type(data).__name__}, which is read once"
        )
    if isinstance(data, list | tuple) and not is_pair(data):
        raise ValueError(
            "Expected a tuple `(images, labels)` of arrays, or a dataset of "
            f"such batches. Received: a {type(data).__name__} of {len(data)}"
        )


def is_pair(data):
    return isinstance(data, tuple) and len(data) == 2
