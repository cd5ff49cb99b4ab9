"""Retrieval on a test set, as training goes on."""

from keras_jest.api_export import keras_jest_export
from keras_jest.callbacks.every_few_steps import EveryFewSteps
from keras_jest.evaluation.retrieval import retrieval
from keras_jest.models.model_inputs import model_inputs


@keras_jest_export("keras_jest.callbacks.RetrievalEvaluation")
class RetrievalEvaluation(EveryFewSteps):
    """Adds retrieval recalls to the logs of an epoch, or of every few steps.

    Keras metrics compare predictions with targets, row by row; retrieval
    needs all embeddings of a test set at once.

    Args:
        arrays: dict of arrays, the inputs of the model for the test set.
        ks: sequence of ints, the ranks to report.
        every: int or `None`. Evaluate after so many training steps, and at
            the end of `fit`; `None` is at the end of each epoch.
        batch_size: int, rows at a time.

    It logs `image_to_text_recall@1`, `text_to_image_recall@1`, their mean,
    `mean_recall@1`, and so on for the other ranks. What monitors one of them,
    such as `EarlyStopping` or `ModelCheckpoint`, stands behind it in the list
    of callbacks.

    After `fit`, `history` holds one dict per evaluation, with these and
    `step`, the number of training steps so far.

    Raises:
        ValueError: when `fit` begins, if the arrays lack an input of the
            model.

    Example:

    ```python
    from keras_jest.callbacks import RetrievalEvaluation

    test = {"images": ..., "token_ids": ...}
    callback = RetrievalEvaluation(test, every=100)
    # model.fit(super_batches, callbacks=[callback])
    ```
    """

    def __init__(self, arrays, ks=(1, 10), every=None, batch_size=256):
        super().__init__(every)
        self.arrays = arrays
        self.ks = ks
        self.batch_size = batch_size

    def on_train_begin(self, logs=None):
        model_inputs(self._evaluated, self.arrays, "evaluated model")

    def on_epoch_end(self, epoch, logs=None):
        if self.every is None and logs is not None:
            logs.update(self._act())

    def on_train_end(self, logs=None):
        if not self.history or self.history[-1]["step"] != self._step:
            self._act()

    @property
    def _evaluated(self):
        return getattr(self.model, "learner", self.model)

    def _act(self):
        model = self._evaluated
        arrays = model_inputs(model, self.arrays)
        pairs = model.predict(arrays, batch_size=self.batch_size, verbose=0)
        recalls = with_means(retrieval(pairs, self.ks), self.ks)
        self.history.append({"step": self._step, **recalls})
        return recalls


def with_means(recalls, ks):
    """The recalls of both directions, and the mean of both."""
    sides = ("image_to_text", "text_to_image")
    means = {
        f"mean_recall@{k}": sum(recalls[f"{side}_recall@{k}"] for side in sides)
        / len(sides)
        for k in ks
    }
    return {**recalls, **means}
