"""Retrieval on a test set, as training goes on."""

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.evaluation.retrieval import retrieval
from keras_jest.models.model_inputs import model_inputs


@keras_jest_export("keras_jest.callbacks.RetrievalEvaluation")
class RetrievalEvaluation(keras.callbacks.Callback):
    """Adds retrieval recalls to the logs of an epoch, or of every few steps.

    Keras metrics compare predictions with targets, row by row; retrieval
    needs all embeddings of a test set at once.

    Args:
        arrays: dict of arrays, the inputs of the model for the test set.
        ks: sequence of ints, the ranks to report.
        every: int or `None`. Evaluate after so many training steps, and at
            the end of `fit`; `None` is at the end of each epoch.
        batch_size: int, rows at a time.

    After `fit`, `history` holds one dict per evaluation, with the recalls of
    `keras_jest.evaluation.retrieval` and `step`, the number of training steps
    so far.

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
        super().__init__()
        self.arrays = arrays
        self.ks = ks
        self.every = every
        self.batch_size = batch_size
        self.history = []
        self._step = 0
        self._first_step = 0

    def on_train_begin(self, logs=None):
        model_inputs(self._evaluated, self.arrays, "evaluated model")

    def on_epoch_begin(self, epoch, logs=None):
        self._first_step = self._step

    def on_train_batch_end(self, batch, logs=None):
        # With `steps_per_execution` above 1 only every few are seen, and
        # the last execution may end early.
        steps = self.params.get("steps") or float("inf")
        before = self._step
        self._step = self._first_step + min(batch + 1, steps)
        every = self.every
        if every is not None and self._step // every > before // every:
            self._evaluate()

    def on_epoch_end(self, epoch, logs=None):
        if self.every is None and logs is not None:
            logs.update(self._evaluate())

    def on_train_end(self, logs=None):
        if not self.history or self.history[-1]["step"] != self._step:
            self._evaluate()

    def get_state(self):
        """What a run that goes on must know, for `BackupAndRestore`."""
        names = ("history", "_step", "_first_step")
        return {name: getattr(self, name) for name in names}

    def set_state(self, state):
        """Go on as if the run had never been stopped."""
        for name, value in state.items():
            setattr(self, name, value)

    @property
    def _evaluated(self):
        return getattr(self.model, "learner", self.model)

    def _evaluate(self):
        model = self._evaluated
        arrays = model_inputs(model, self.arrays)
        pairs = model.predict(arrays, batch_size=self.batch_size, verbose=0)
        recalls = retrieval(pairs, self.ks)
        self.history.append({"step": self._step, **recalls})
        return recalls
