"""The account of a run: what it has cost, and what that was worth."""

import os
from typing import Any

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.callbacks.baseline_run import BaselineRun
from keras_jest.callbacks.baseline_run import passed_message
from keras_jest.callbacks.baseline_run import step_message
from keras_jest.callbacks.ledger_account import LedgerAccount
from keras_jest.callbacks.ledger_account import per_step
from keras_jest.callbacks.ledger_account import step_costs
from keras_jest.callbacks.ledger_checks import check_arguments
from keras_jest.callbacks.ledger_checks import check_model
from keras_jest.callbacks.ledger_checks import mode_of
from keras_jest.callbacks.ledger_checks import monitored
from keras_jest.callbacks.ledger_task import counted_passes
from keras_jest.callbacks.ledger_task import num_kept
from keras_jest.callbacks.ledger_task import once_costs
from keras_jest.callbacks.ledger_task import task_of
from keras_jest.callbacks.log_checks import check_folder
from keras_jest.callbacks.rows_between_resets import RowsBetweenResets
from keras_jest.callbacks.show_message import show_message
from keras_jest.callbacks.waiting import Waiting
from keras_jest.data.position import without_position
from keras_jest.evaluation.ledger_file import FORMAT
from keras_jest.evaluation.ledger_file import write_ledger
from keras_jest.types import Logs
from keras_jest.types import StrPath

UNKNOWN = {"seconds_waited": None}
LOGGED = ("examples_trained", "examples_scored", "seconds", "seconds_waited")


@keras_jest_export("keras_jest.callbacks.ComputeLedger")
class ComputeLedger(keras.callbacks.Callback):
    """Accounts for what a run costs, and for what that was worth.

    The rows that steps train on and score are counted on the device, exactly,
    whatever the schedule and the sizes of batches. What they cost is counted
    once, before the first step, as `keras_jest.evaluation.count_flops` does:
    of the bare passes of each model, at the sizes of the first batch, with or
    without `scoring_batch_size`. Losses, selection and the optimizer are not
    counted. A line then says what a step costs in uniform ones, those of the
    learner on as many rows, and how many must be saved to break even.

    A plain Keras model can be watched, too, as a baseline: its rows are read
    from its mean of the loss. `tf.distribute` with several replicas is
    refused. Evaluations, by whatever callback, are not counted. Several fits
    with one ledger add up, and a run that
    `keras_jest.callbacks.BackupAndRestore` resumes goes on with the sums of
    the one that was stopped.

    The logs of each epoch get the sums so far, `examples_trained`,
    `examples_scored`, `flops`, `seconds` and `seconds_waited`, and the means
    of the epoch's steps under the same names with `_per_step`; FLOPs by term
    are in `record`. Seconds are those of `fit`, compilation and validation
    included. Those waited are the host's, in asking for data: the device may
    meanwhile work on the steps before, so that it has waited for no longer.
    On torch, what callbacks do that stand behind this one is in them; in a
    plain model on TensorFlow, whose programs ask for data themselves, they
    are not known.

    Args:
        baseline: str, path or `None`: the JSON that another ledger wrote of a
            uniform run of the same task. A message says when this run passes
            its best value, and with which part of its costs.
        path: str, path or `None`: where to write JSON, at the end of each
            epoch.
        monitor: str or `None`, the quantity in the logs of an epoch whose
            curve is kept, such as `"val_accuracy"`. Put the callback that
            logs it first. By default that of the baseline.
        mode: `"max"`, `"min"`, or `"auto"`, to tell by the name.
        num_reference: int, examples that the reference was trained on, if its
            training is part of the price of this run.
        num_stored: int, rows of the pool that the reference looked at once,
            where its outputs or losses are stored.
        reference_flops: float or `None`, FLOPs of one forward pass of the
            reference, such as `count_flops(reference, batch)`. It need not be
            told of a reference that scores in this run.
        picture: str, path or `None`: where to draw this run and the baseline
            by `keras_jest.evaluation.plot_ledgers`, when `fit` ends. A warning
            says why if it cannot be drawn.
        verbose: int. 0 says nothing.

    `record` is what the JSON holds, but for its format:

    - `format`: `"keras_jest.callbacks.ComputeLedger 1"`.
    - `task`: `monitor`, `mode`, the name of the `loss`, `parameters` of the
      learner that are trained, and `training_flops` of one row of it. Those
      of a baseline must be the same, but for `parameters`.
    - `step`, the latest first step: `examples_trained`, `examples_scored`,
      `flops`, those of a uniform step, `uniform_flops`, the ratio of both,
      `uniform_steps`, and the part of steps to be saved, `break_even`.
    - `once`: FLOPs before the first step, in the terms of the reference.
    - `epochs`: a list of the sums so far: `epoch` (from 1), `steps`,
      `examples_trained`, `examples_scored`, `examples_looked_at` (scored, or
      trained on in epochs that score nothing), `flops`, `seconds`,
      `seconds_waited` or null; `per_step`, the means of all these but the
      steps over those of the epoch; and `monitored`, the value or null.
    - `passed`: null, or where the baseline was passed: `epoch`, `monitored`,
      `baseline_epoch`, `baseline_monitored`, and as parts of what the baseline
      had needed for its best, `examples_trained`, `examples_looked_at` and
      `computation` (null if nothing of the baseline's is counted).

    `flops` are dicts of the terms of `keras_jest.evaluation.computation` and
    their `total`.

    Raises:
        ValueError: an argument makes no sense; in `fit`, before the first
            step: the baseline is no ledger or has another task, there is no
            folder for `path`, the cost of the reference must be told, or the
            rows of the model cannot be counted.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_jest import ClassAct
    from keras_jest.callbacks import ComputeLedger

    def classifier(width):
        hidden = keras.layers.Dense(width, activation="relu")
        return keras.Sequential(
            [keras.Input((4,)), hidden, keras.layers.Dense(2)]
        )

    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    data = {"x": x, "y": (x[:, 0] > 0).astype("int32"), "verbose": 0}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    plain = classifier(64)
    plain.compile("adam", loss=loss)
    uniform = ComputeLedger(path="uniform.json", monitor="loss")
    plain.fit(**data, batch_size=10, callbacks=[uniform])

    model = ClassAct(classifier(64), classifier(8), classifier(8))
    model.compile("adam", loss=loss)
    ledger = ComputeLedger("uniform.json", path="selected.json")
    model.fit(**data, batch_size=20, callbacks=[ledger])
    print(ledger.record["epochs"][-1]["flops"])
    ```
    """

    def __init__(
        self,
        baseline: StrPath | None = None,
        path: StrPath | None = None,
        monitor: str | None = None,
        mode: str = "auto",
        num_reference: int = 0,
        num_stored: int = 0,
        reference_flops: float | None = None,
        picture: StrPath | None = None,
        verbose: int = 1,
    ) -> None:
        super().__init__()
        check_arguments(
            mode,
            picture,
            baseline,
            num_reference=num_reference,
            num_stored=num_stored,
        )
        self.baseline, self.path, self.picture = baseline, path, picture
        self.monitor, self.mode = monitor, mode
        self.num_reference, self.num_stored = num_reference, num_stored
        self.reference_flops = reference_flops
        self.verbose = verbose
        self.record: dict[str, Any] = {
            "format": FORMAT,
            "task": None,
            "step": None,
            "once": None,
            "epochs": [],
            "passed": None,
        }
        self._account, self._waiting = LedgerAccount(), Waiting()
        self._rows = RowsBetweenResets(self._account)
        self._baseline: BaselineRun | None = None
        self._at_epoch = self._account.spent()

    def on_train_begin(self, logs: Logs = None) -> None:
        check_model(self.model)
        for path in (self.path, self.picture):
            if path is not None:
                check_folder(os.fspath(path))
        if self.baseline is not None:
            self._baseline = BaselineRun(self.baseline)
            self.monitor = self.monitor or self._baseline.task["monitor"]
        self.mode = mode_of(self.monitor, self.mode)
        self._rows.begin(self.model)
        self._waiting.begin(self.model, self._see_first)
        self._account.start_clock()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._at_epoch = self._spent()
        self._rows.begin_epoch()
        # Where a run goes on, another function may make the steps.
        self._waiting.begin_epoch(self.model)

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._rows.begin_step()
        self._waiting.begin_step()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        # The last execution of several steps may end early.
        steps = self.params.get("steps") or float("inf")
        first = self._at_epoch["steps"]
        self._account.steps = first + min(batch + 1, steps)
        self._waiting.end_step()

    def on_test_begin(self, logs: Logs = None) -> None:
        self._rows.is_validating = True

    def on_test_end(self, logs: Logs = None) -> None:
        self._rows.is_validating = False

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._rows.end_epoch()
        logs = {} if logs is None else logs
        steps = self._known(per_step(self._at_epoch, self._spent()))
        point = {"epoch": epoch + 1, **self._known(self._account.point())}
        point |= {"per_step": steps}
        point["monitored"] = monitored(self.monitor, logs)
        self._log(point, logs)
        self.record["epochs"].append(point)
        self._compare(point)
        if self.path is not None:
            write_ledger(self.path, self.record)

    def on_train_end(self, logs: Logs = None) -> None:
        self._account.stop_clock()
        self._rows.end(self.model)
        self._waiting.end(self.model)
        if self._baseline is None:
            return
        if self.record["passed"] is None:
            self._say(f"The best of {self.baseline} was not passed.")
        if self.picture is not None:
            self._baseline.draw(self.record, self.picture)

    def get_state(self) -> dict[str, Any]:
        """What a run that goes on must know, for `BackupAndRestore`."""
        self._account.seconds_waited = self._waiting.seconds
        # Of an epoch that is not over, the model's metrics keep the rows.
        return {
            "account": self._account.get_state(self._rows.settled),
            "record": self.record,
            "at_epoch": self._at_epoch,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on as if the run had never been stopped."""
        self._account.set_state(state["account"])
        self._waiting.seconds = self._account.seconds_waited
        self.record = state["record"]
        self._at_epoch = state["at_epoch"]
        self._rows.go_on()

    def _see_first(self, batch):
        """Count what a step costs, before the first is made."""
        self._account.stop_clock()
        model = self._waiting.model
        x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        x, _ = without_position(x)
        num_rows = keras.tree.flatten(x)[0].shape[0]
        sizes = num_kept(model, num_rows), num_rows
        passes = counted_passes(model, x, *sizes)
        task = task_of(model, passes, self.monitor, self.mode)
        if self._baseline is not None:
            self._baseline.check(task)
        once = self._once(passes)
        step = step_costs(passes, *sizes)
        self.record |= {"task": task, "step": step, "once": once}
        self._account.passes, self._account.once = passes, once
        self._say(step_message(step, once))
        self._account.start_clock()

    def _once(self, passes):
        if self.record["once"] is not None:
            return self.record["once"]
        return once_costs(
            passes, self.reference_flops, self.num_reference, self.num_stored
        )

    def _spent(self):
        self._account.seconds_waited = self._waiting.seconds
        return self._account.spent()

    def _known(self, costs):
        return costs if self._waiting.is_known else costs | UNKNOWN

    def _log(self, point, logs):
        """Put totals and means of a step into the logs, by flat names."""
        steps = point["per_step"]
        for of, end in ((point, ""), (steps, "_per_step")):
            known = {name: of[name] for name in LOGGED if of[name] is not None}
            known["flops"] = of["flops"]["total"]
            logs.update({name + end: value for name, value in known.items()})

    def _compare(self, point):
        if self._baseline is None or self.record["passed"] is not None:
            return
        self.record["passed"] = self._baseline.passed_by(point)
        if self.record["passed"] is not None:
            self._say(passed_message(self.record["passed"], self.monitor))

    def _say(self, text):
        if self.verbose:
            show_message(text)
