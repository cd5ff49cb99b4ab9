"""One run that is Keras' `fit`, called for the rest of an epoch first."""

import contextlib

import keras


class CallbacksOfParts(keras.callbacks.CallbackList):
    """Lets callbacks see one run where Keras' `fit` is called twice.

    Args:
        callbacks: list of Keras callbacks but for the `BackupAndRestore`,
            which comes last: it sees what all others know after a step.
        run: `ResumedFit`.
        **kwargs: further arguments of `keras.callbacks.CallbackList`.
    """

    def __init__(self, callbacks, run, **kwargs):
        super().__init__(callbacks, add_history=True, **kwargs)
        self.others = list(self.callbacks)
        self.callbacks.append(run.backup)
        run.backup.set_params(self.params)
        run.backup.set_model(kwargs["model"])
        # A state must be saved before the next step is made.
        self._async_train = self._async_test = False
        self.is_silent = False
        self.metrics = {}
        self._run = run
        self._offset = run.batch
        self._has_begun = False
        self._logs = None

    def on_train_begin(self, logs=None):
        if self._has_begun:
            return
        self._has_begun = True
        self._run.restore_model()
        super().on_train_begin(logs)
        if not self._offset:
            self._run.restore_others()

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        if self._offset:
            self._run.restore_others()
        if self.is_silent:
            self.metrics = self.model.get_metrics_result()

    def on_epoch_end(self, epoch, logs=None):
        self._offset = 0
        super().on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch, logs=None):
        if not self.is_silent:
            super().on_train_batch_begin(self._offset + batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        if not self.is_silent:
            super().on_train_batch_end(self._offset + batch, logs)

    def on_train_end(self, logs=None):
        self._logs = logs

    def end(self):
        """The end of the run, not of one part of it."""
        super().on_train_end(self._logs)


def fit_in_parts(model, fit, parts, callbacks):
    """Call `fit` for each part of a run, until it is stopped.

    Args:
        model: the model that is trained.
        fit: Keras' `fit`, of the model.
        parts: generator of dicts of arguments of `fit`; each is asked for
            when the one before has ended.
        callbacks: `CallbacksOfParts`.

    Returns:
        A `keras.callbacks.History` of all parts.
    """
    history = None
    with contextlib.closing(parts), finalized_once(model):
        for part in parts:
            history = fit(**{**part, "callbacks": callbacks})
            if model.stop_training:
                break
    callbacks.end()
    return history


@contextlib.contextmanager
def finalized_once(model):
    """Let moving averages take the place of weights when a run has ended."""
    optimizer = model.optimizer
    optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values
    optimizer.finalize_variable_values(model.trainable_weights)


@contextlib.contextmanager
def training_nothing(model, callbacks):
    """Let `fit` end an epoch of which all steps were trained before."""

    def train_nothing(*state_and_data):
        # JAX hands its state along; others have but the data.
        *state, _ = state_and_data
        return (callbacks.metrics, *state) if state else callbacks.metrics

    train_function = model.train_function
    model.train_function, callbacks.is_silent = train_nothing, True
    try:
        yield
    finally:
        model.train_function, callbacks.is_silent = train_function, False
