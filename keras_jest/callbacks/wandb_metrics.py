"""The logs of a run, as metrics of Weights & Biases."""

from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_jest.api_export import keras_jest_export
from keras_jest.callbacks.every_few_steps import EveryFewSteps
from keras_jest.data.require import require
from keras_jest.types import Logs

if TYPE_CHECKING:
    import wandb


@keras_jest_export("keras_jest.callbacks.WandbMetrics")
class WandbMetrics(EveryFewSteps):
    """Logs what `fit` tells to a run of Weights & Biases.

    The learnability of super-batches and of what is kept is among the logs of
    a model that selects, and so is all that callbacks before this one put
    into them, such as the sums of `keras_jest.callbacks.ComputeLedger`. It
    imports no TensorFlow. (In TensorBoard the same is shown by
    `keras.callbacks.TensorBoard`, in the same place.)

    Metrics are called `epoch/<name>` and `step/<name>`, over `step`, the
    number of training steps so far, which goes on in a run that
    `keras_jest.callbacks.BackupAndRestore` resumes. One that is an array, such
    as a score of each class, is logged by its elements in order, as
    `epoch/<name>/0`, `epoch/<name>/1` and so on.

    Args:
        run: a `wandb.Run`, or `None` for the one that `wandb.init` has begun.
            It stays open.
        every: int or `None`. Log so many steps, too, besides each epoch.

    Raises:
        ValueError: when `fit` begins, if there is no run, or `every` is below
            1.
        ImportError: if a run is to be found and wandb is not installed.

    Example:

    ```python
    from keras_jest.callbacks import WandbMetrics

    # run = wandb.init(project="pictures", config={"filter_ratio": 0.8})
    # model.fit(super_batches, callbacks=[WandbMetrics(run, every=100)])
    # run.finish()
    ```
    """

    def __init__(
        self, run: "wandb.Run | None" = None, every: int | None = None
    ) -> None:
        if every is not None and every < 1:
            raise ValueError(
                "Steps are logged every so many, 1 or more, or never with "
                f"None. Received: every={every}"
            )
        super().__init__(every)
        self.run = run
        self._logs: Logs = None

    def on_train_begin(self, logs: Logs = None) -> None:
        if self.run is None:
            self.run = require("wandb", "keras-jest[wandb]").run
        if self.run is None:
            raise ValueError(
                "There is no run to log to. Begin one by `wandb.init(...)`, "
                "or pass `run`. Received: run=None"
            )
        for name in ("epoch/*", "step/*"):
            self.run.define_metric(name, step_metric="step")

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._logs = logs
        super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._log("epoch", {**(logs or {}), "epoch": epoch + 1})

    def _act(self):
        self._log("step", self._logs or {})

    def _log(self, group, logs):
        values = {"step": self._step}
        for name, value in logs.items():
            values |= by_element(f"{group}/{name}", value)
        self.run.log(values)


def by_element(name, value):
    """A number by its name, each of an array by the name and its place."""
    if np.ndim(value) == 0:
        return {name: float(value)}
    elements = np.ravel(keras.ops.convert_to_numpy(value)).tolist()
    return {f"{name}/{place}": float(of) for place, of in enumerate(elements)}
