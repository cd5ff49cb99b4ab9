"""When an evaluation of a callback is made, and where it is told."""

import keras

from keras_jest.types import Logs


class LogsEvaluations:
    """Evaluates at the end of epochs, or after every so many steps.

    To be named before `EveryFewSteps` among the bases of a callback that has
    `names`, what it logs, and `evaluate()`, which returns a dict of these.
    """

    @property
    def logged_names(self) -> tuple[str, ...]:
        """The names in the logs of each epoch: what may be monitored."""
        return () if self.every is not None else tuple(self.names)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.every is None and logs is not None:
            logs.update(self._act())

    def on_train_end(self, logs: Logs = None) -> None:
        if not self.history or self.history[-1]["step"] != self._step:
            self._act()

    @property
    def evaluated(self) -> keras.Model:
        """The model that a user takes away: a learner, or the model itself."""
        return getattr(self.model, "learner", self.model)

    def _act(self):
        metrics = self.evaluate()
        self.history.append({"step": self._step, **metrics})
        return metrics


def check_every(every):
    """Raise unless `every` is a number of steps, or `None`."""
    if every is not None and every < 1:
        raise ValueError(
            "Evaluate after every so many steps, 1 or more, or at the end of "
            f"each epoch with None. Received: every={every}"
        )
