"""The account of a run: what it has cost, and what that was worth."""

import os

import keras

from keras_jest.api_export import keras_jest_export
from keras_jest.callbacks.baseline_run import BaselineRun
from keras_jest.callbacks.baseline_run import passed_message
from keras_jest.callbacks.baseline_run import step_message
from keras_jest.callbacks.ledger_account import LedgerAccount
from keras_jest.callbacks.ledger_account import step_costs
from keras_jest.callbacks.ledger_checks import check_arguments
from keras_jest.callbacks.ledger_checks import check_model
from keras_jest.callbacks.ledger_checks import mode_of
from keras_jest.callbacks.ledger_checks import monitored
from keras_jest.callbacks.ledger_task import counted_passes
from keras_jest.callbacks.ledger_task import num_kept
from keras_jest.callbacks.ledger_task import once_costs
from keras_jest.callbacks.ledger_task import task_of
from keras_jest.callbacks.rows_of_epoch import rows_of_epoch
from keras_jest.callbacks.selection_log import check_folder
from keras_jest.callbacks.show_message import show_message
from keras_jest.callbacks.waiting import Waiting
from keras_jest.data.position import without_position
from keras_jest.evaluation.ledger_file import FORMAT
from keras_jest.evaluation.ledger_file import write_ledger
from keras_jest.evaluation.plot_ledgers import plot_ledgers

NOTHING = {"trained_rows": 0, "scored_rows": 0}


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

    The logs of each epoch get the sums so far: `examples_trained`,
    `examples_scored`, `flops`, `seconds`, `seconds_waited`, and, of the epoch,
    `flops_per_step`. Seconds are those of `fit`, compilation and validation
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
            by `keras_jest.evaluation.plot_ledgers`, when `fit` ends.
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
      `seconds_waited` or null, and `monitored`, the value or null.
    - `passed`: null, or where the baseline was passed: `epoch`, `monitored`,
      `baseline_epoch`, `baseline_monitored`, and as parts of what the baseline
      had needed for its best, `examples_trained`, `examples_looked_at` and
      `computation`.

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
        baseline=None,
        path=None,
        monitor=None,
        mode="auto",
        num_reference=0,
        num_stored=0,
        reference_flops=None,
        picture=None,
        verbose=1,
    ):
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
        self.record = {"format": FORMAT, "task": None, "step": None}
        self.record |= {"once": None, "epochs": [], "passed": None}
        self._account, self._waiting = LedgerAccount(), Waiting()
        self._baseline = None
        self._first_step, self._epoch_sums = 0, self._account.sums
        self._sums = self._account.sums
        self._is_in_epoch = self._has_trained = self._is_validating = False
        self._foreign = NOTHING

    def on_train_begin(self, logs=None):
        check_model(self.model)
        for path in (self.path, self.picture):
            if path is not None:
                check_folder(os.fspath(path))
        if self.baseline is not None:
            self._baseline = BaselineRun(self.baseline)
            self.monitor = self.monitor or self._baseline.task["monitor"]
        self.mode = mode_of(self.monitor, self.mode)
        # What a run that broke off had not yet told is lost.
        self._is_in_epoch = False
        # An evaluation by whomever resets what is counted.
        vars(self.model).pop("reset_metrics", None)
        self._reset_metrics = self.model.reset_metrics
        self.model.reset_metrics = self._add_and_reset
        self._waiting.begin(self.model, self._see_first)
        self._account.start_clock()

    def on_epoch_begin(self, epoch, logs=None):
        self._first_step, self._sums = self._account.steps, self._account.sums
        self._epoch_sums = self._sums
        self._is_in_epoch = self._has_trained = True
        self._is_validating = False
        self._foreign = NOTHING
        # Where a run goes on, another function may make the steps.
        self._waiting.begin_epoch(self.model)

    def on_train_batch_begin(self, batch, logs=None):
        if not self._has_trained:
            self._foreign = rows_of_epoch(self.model)  # Of an evaluation.
            self._has_trained = True
        self._waiting.begin_step()

    def on_train_batch_end(self, batch, logs=None):
        # The last execution of several steps may end early.
        steps = self.params.get("steps") or float("inf")
        self._account.steps = self._first_step + min(batch + 1, steps)
        self._waiting.end_step()

    def on_test_begin(self, logs=None):
        self._is_validating = True

    def on_test_end(self, logs=None):
        self._is_validating = False

    def on_epoch_end(self, epoch, logs=None):
        self._add_rows()
        self._is_in_epoch = False
        logs = {} if logs is None else logs
        point = {"epoch": epoch + 1, **self._point()}
        point["monitored"] = monitored(self.monitor, logs)
        self._log(point, logs)
        self.record["epochs"].append(point)
        self._compare(point)
        if self.path is not None:
            write_ledger(self.path, self.record)

    def on_train_end(self, logs=None):
        self._account.stop_clock()
        vars(self.model).pop("reset_metrics", None)
        self._waiting.end(self.model)
        if self._baseline is None:
            return
        if self.record["passed"] is None:
            self._say(f"The best of {self.baseline} was not passed.")
        if self.picture is not None:
            runs = {"baseline": self._baseline.ledger, "this run": self.record}
            plot_ledgers(runs).savefig(self.picture, dpi=120)

    def get_state(self):
        """What a run that goes on must know, for `BackupAndRestore`."""
        self._account.seconds_waited = self._waiting.seconds
        # Of an epoch that is not over, the model's metrics keep the rows.
        sums = self._sums if self._is_in_epoch else self._account.sums
        return {
            "account": self._account.get_state(sums),
            "record": self.record,
            "first_step": self._first_step,
        }

    def set_state(self, state):
        """Go on as if the run had never been stopped."""
        self._account.set_state(state["account"])
        self._waiting.seconds = self._account.seconds_waited
        self.record = state["record"]
        self._first_step, self._sums = state["first_step"], self._account.sums
        self._epoch_sums = self._sums

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

    def _add_and_reset(self):
        if self._is_in_epoch:
            self._add_rows()
        self._reset_metrics()
        # In validation a state is saved with the metrics from before it.
        if not self._is_validating:
            self._sums = self._account.sums

    def _add_rows(self):
        """Take in the rows of steps since the metrics were reset."""
        if self._has_trained:
            rows = rows_of_epoch(self.model)
            self._account.add(
                {name: rows[name] - self._foreign[name] for name in rows}
            )
            self._has_trained = False

    def _point(self):
        self._account.seconds_waited = self._waiting.seconds
        point = self._account.point()
        if not self._waiting.is_known:
            point["seconds_waited"] = None
        return point

    def _log(self, point, logs):
        names = ("examples_trained", "examples_scored", "seconds")
        logs.update({name: point[name] for name in names})
        if point["seconds_waited"] is not None:
            logs["seconds_waited"] = point["seconds_waited"]
        logs["flops"] = point["flops"]["total"]
        num_steps = self._account.steps - self._first_step
        spent = sum(self._account.sums["flops"].values())
        spent -= sum(self._epoch_sums["flops"].values())
        logs["flops_per_step"] = spent / max(1, num_steps)

    def _compare(self, point):
        if self._baseline is None or self.record["passed"] is not None:
            return
        self.record["passed"] = self._baseline.passed_by(point)
        if self.record["passed"] is not None:
            self._say(passed_message(self.record["passed"], self.monitor))

    def _say(self, text):
        if self.verbose:
            show_message(text)
