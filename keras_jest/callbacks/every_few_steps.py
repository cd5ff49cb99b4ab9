"""Callbacks that do something after every so many training steps."""

from typing import Any

import keras

from keras_jest.types import Logs


class EveryFewSteps(keras.callbacks.Callback):
    """Counts training steps over all epochs, and calls `_act` at some.

    Args:
        every: int or `None`. Act after so many steps; `None` is never.

    `history` is what subclasses keep; it and the steps go on in a run that is
    resumed.
    """

    def __init__(self, every: int | None) -> None:
        super().__init__()
        self.every = every
        self.history: list[dict[str, Any]] = []
        self._step = 0
        self._first_step = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._first_step = self._step

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        # With `steps_per_execution` above 1 only every few are seen, and
        # the last execution may end early.
        steps = self.params.get("steps") or batch + 1
        before = self._step
        self._step = self._first_step + min(batch + 1, steps)
        every = self.every
        if every is not None and self._step // every > before // every:
            self._act()

    def get_state(self) -> dict[str, Any]:
        """What a run that goes on must know, for `BackupAndRestore`."""
        names = ("history", "_step", "_first_step")
        return {name: getattr(self, name) for name in names}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on as if the run had never been stopped."""
        for name, value in state.items():
            setattr(self, name, value)

    def _act(self):
        raise NotImplementedError("To be defined by a subclass.")
