"""A run that was stopped goes on in its log, and loses nothing of it."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest.callbacks import SelectionLog
from keras_jest.data import record_key
from keras_jest.data import recorded_rows
from keras_jest.data import recorded_settings
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder

parquet = pytest.importorskip("pyarrow.parquet")

NUM_ROWS, BATCH_SIZE, EPOCHS = 36, 12, 4
ROWS_PER_STEP = BATCH_SIZE // 2
NUM_STEPS = EPOCHS * NUM_ROWS // BATCH_SIZE


def make_encoder():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(6)])


def make_model(seed=0):
    keras.utils.set_random_seed(0)
    learner = DualEncoder(make_encoder(), make_encoder())
    reference = DualEncoder(make_encoder(), make_encoder())
    model = JESTModel(learner, reference, seed=seed)
    model.compile(
        keras.optimizers.Adam(0.01),
        loss=SigmoidContrastiveLoss(),
        selection=IndependentSelection(0.5),
    )
    model({name: of[:2] for name, of in make_pool().items()})
    return model


def make_pool():
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(2, NUM_ROWS, 4)).astype("float32")
    keys = np.stack([record_key(str(row)) for row in range(NUM_ROWS)])
    return {"images": images, "token_ids": texts, "key": keys}


class StopAt(keras.callbacks.Callback):
    """Raises after so many steps of this `fit`."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def fit(callbacks, model=None, epochs=EPOCHS):
    (model or make_model()).fit(
        make_pool(),
        batch_size=BATCH_SIZE,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "log.parquet"
    fit([SelectionLog(path)])
    return path


@pytest.mark.parametrize(
    ("save_freq", "stop_at", "saved_at", "saved_epoch"),
    [("epoch", 5, 3, 1), (2, 7, 6, 1)],
)
def test_a_run_restored_by_keras_goes_on_in_its_log(
    tmp_path, never_stopped, save_freq, stop_at, saved_at, saved_epoch
):
    """Whoever restores: the log is told nothing of it."""
    path = tmp_path / "log.parquet"

    def callbacks():
        backup = keras.callbacks.BackupAndRestore(
            tmp_path / "backup", save_freq=save_freq
        )
        return [SelectionLog(path, steps_at_a_time=2), backup]

    with pytest.raises(KeyboardInterrupt):
        fit([*callbacks(), StopAt(stop_at)])
    fit(callbacks())
    table, whole = (parquet.read_table(of) for of in (path, never_stopped))
    # Keras begins an epoch that was cut again, so that there are more steps.
    num_steps = saved_at + (EPOCHS - saved_epoch) * NUM_ROWS // BATCH_SIZE
    assert np.unique(table["step"]).tolist() == list(range(num_steps))
    assert recorded_settings(path) == recorded_settings(never_stopped)
    num_same = len(whole) if save_freq == "epoch" else saved_at * ROWS_PER_STEP
    assert table.slice(0, num_same).equals(whole.slice(0, num_same))
    assert save_freq != "epoch" or len(table) == len(whole)


@pytest.mark.once
def test_the_log_of_another_run_is_moved_aside(tmp_path, never_stopped):
    path = tmp_path / "log.parquet"
    unfinished = f"{path}.unfinished"
    for number, seed in enumerate((1, 0)):
        with pytest.raises(KeyboardInterrupt):
            fit([SelectionLog(path, 1), StopAt(5)], make_model(seed))
        expected = recorded_rows(unfinished, make_pool()["key"])
        assert len(expected) == 5
        reason = "differ in: seed" if seed else "goes on at draw 0"
        message = rf"log\.parquet\.unfinished\.{number + 1} now.* {reason}"
        with pytest.warns(UserWarning, match=message):
            fit([SelectionLog(path)])
        aside = recorded_rows(f"{unfinished}.{number + 1}", make_pool()["key"])
        assert [rows.tolist() for rows in aside] == [
            rows.tolist() for rows in expected
        ]
        whole = parquet.read_table(never_stopped)
        assert parquet.read_table(path).equals(whole)
        assert not os.path.exists(unfinished)


def test_states_are_on_disk_when_they_are_told(tmp_path, never_stopped):
    """`get_state` in the middle of an epoch, then a kill, then `set_state`."""
    path, states = tmp_path / "log.parquet", []
    log = SelectionLog(path)
    held = tmp_path / "model.weights.h5"

    class Save(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            states.append(log.get_state())
            rows = recorded_rows(f"{path}.unfinished", make_pool()["key"])
            assert len(rows) == len(states)
            if len(states) == 6:
                self.model.save_weights(held)

    with pytest.raises(KeyboardInterrupt):
        fit([log, Save(), StopAt(8)])
    assert states[5] == {"first_step": 0, "step": 6}
    model = make_model()
    model.optimizer.build(model.trainable_variables)
    model.load_weights(held)
    resumed = SelectionLog(path)
    begin = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: resumed.set_state(states[5])
    )
    fit([begin, resumed], model, epochs=2)
    assert parquet.read_table(path).equals(parquet.read_table(never_stopped))
    # And if the log was lost:
    resumed = SelectionLog(tmp_path / "other.parquet")
    model.load_weights(held)
    with pytest.warns(UserWarning, match="goes on at step 6, but the log in"):
        fit([begin, resumed], model, epochs=1)


@pytest.mark.once
def test_what_a_kill_undid_is_never_taken_for_what_came_after(tmp_path):
    """Killed again before its log was written, but after a state was saved."""
    path, states = tmp_path / "log.parquet", {}

    class Save(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            step = int(self.model.optimizer.iterations)
            states[step] = tmp_path / f"{step}.weights.h5"
            self.model.save_weights(states[step])

    def restored(step):
        model = make_model()
        model.optimizer.build(model.trainable_variables)
        model.load_weights(states[step])
        return model

    with pytest.raises(KeyboardInterrupt):
        fit([SelectionLog(path, 1), Save(), StopAt(8)])
    with pytest.raises(KeyboardInterrupt):
        fit([SelectionLog(path), Save(), StopAt(3)], restored(4))
    with pytest.warns(UserWarning, match="holds 5 steps"):
        fit([SelectionLog(path)], restored(7), epochs=1)
    assert np.unique(parquet.read_table(path)["step"]).tolist() == [7, 8, 9]


@pytest.mark.once
def test_a_log_that_lacked_only_its_end_is_completed(tmp_path, never_stopped):
    """A kill after the last step: the resumed run has no step to make."""
    path = tmp_path / "log.parquet"
    model = make_model()
    with pytest.raises(KeyboardInterrupt):
        fit([SelectionLog(path, 1), StopAt(NUM_STEPS)], model)
    fit([SelectionLog(path)], model, epochs=0)
    assert parquet.read_table(path).equals(parquet.read_table(never_stopped))


KILLED = """
import keras, sys, time
sys.path.insert(0, {folder!r})
from test_resumed_log import SelectionLog, fit

class Tell(keras.callbacks.Callback):
    step = 0
    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        print(self.step, flush=True)

fit([SelectionLog({path!r}, 3), Tell()], epochs=1_000_000)
"""


def begin_run(path):
    script = KILLED.format(folder=str(pathlib.Path(__file__).parent), path=path)
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.once  # Who reads knows no backend.
def test_a_log_can_be_read_after_a_kill(tmp_path, never_stopped):
    """At a moment of no choice; and no two processes write to one log."""
    path = str(tmp_path / "log.parquet")
    key = make_pool()["key"]
    expected = recorded_rows(never_stopped, key)
    with begin_run(path) as process:
        while int(process.stdout.readline()) < 10:
            pass
        with pytest.raises(ValueError, match="Another process is writing"):
            fit([SelectionLog(path)])
        time.sleep(np.random.default_rng().uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        told = [int(line) for line in process.stdout]
    rows = recorded_rows(f"{path}.unfinished", key)
    assert len(rows) > (told or [10])[-1] - 3
    for one, other in zip(rows, expected, strict=False):
        assert one.tolist() == other.tolist()
    with pytest.warns(UserWarning, match="goes on at draw 0"):
        fit([SelectionLog(path)])
    assert parquet.read_table(path).equals(parquet.read_table(never_stopped))
