import errno
import os
import pathlib
import signal
import subprocess
import sys

import grain
import keras
import numpy as np
import pytest
from resumable_run import NUM_ROWS
from resumable_run import POOL
from resumable_run import Stop
from resumable_run import make_dataset
from resumable_run import make_run_model
from resumable_run import run
from resumable_run import values_of
from small_models import make_classifier
from small_models import make_dual_encoder
from small_models import make_labelled
from small_models import make_model

from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest import UniformSelection
from keras_jest.callbacks import BackupAndRestore
from keras_jest.callbacks import run_identity
from keras_jest.callbacks import state_folder
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder

HERE = pathlib.Path(__file__).parent
PASSES = {"steps_per_epoch": None}  # Each epoch is a pass over the dataset.


class Killed(BaseException):
    pass


def kill():
    raise Killed


def stop(folder, num_steps, **kwargs):
    """Run until a number of steps, as a kill would end it."""
    with pytest.raises(Killed):
        run(folder, others=[Stop(num_steps, kill)], **kwargs)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a run gives that is never stopped."""
    return run(tmp_path_factory.mktemp("whole"))


def other_model():
    """Nothing of it may count where a run goes on."""
    return make_run_model(seed=99)


@pytest.mark.parametrize(
    "num_steps",
    [5, *(pytest.param(steps, marks=pytest.mark.slow) for steps in (3, 10))],
)
def test_a_run_goes_on_exactly(tmp_path, whole, num_steps):
    stop(tmp_path, num_steps)
    assert run(tmp_path, other_model()) == whole
    assert not (tmp_path / "backup").exists()


@pytest.mark.slow
def test_it_can_be_stopped_again_and_again(tmp_path, whole):
    for _ in range(4):
        stop(tmp_path, 3, model=make_run_model())
    assert run(tmp_path, other_model()) == whole


@pytest.mark.slow
def test_epochs_that_are_passes_over_the_data(tmp_path):
    (tmp_path / "whole").mkdir()
    expected = run(
        tmp_path / "whole", dataset=make_dataset(15, 1), save_freq=1, **PASSES
    )
    # The last step of an epoch is saved before Keras knows that it is.
    for num_steps in (5, 3):
        dataset = make_dataset(15, 1)
        stop(tmp_path, num_steps, dataset=dataset, save_freq=1, **PASSES)
    got = run(
        tmp_path,
        other_model(),
        make_dataset(15, 1),
        save_freq=1,
        **PASSES,
    )
    assert got == expected


class SlowDown(keras.callbacks.LearningRateScheduler):
    """Depends on the rate of the epoch before."""

    def __init__(self):
        super().__init__(lambda epoch, rate: 0.8 * rate)


class StopTraining(keras.callbacks.LambdaCallback):
    def __init__(self):
        super().__init__(on_train_batch_end=self.stop_at_two)

    def stop_at_two(self, batch, logs):
        self.model.stop_training = batch == 2


def at_the_end(end):
    """After all training, before the backup hears of it."""
    return keras.callbacks.LambdaCallback(on_train_end=lambda logs: end())


def average(**kwargs):
    optimizer = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5)
    return make_run_model(optimizer=optimizer, **kwargs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make, others, stops",
    [
        (average, [], [Stop(3, kill), Stop(4, kill)]),
        (make_run_model, [SlowDown()], [Stop(7, kill), Stop(3, kill)]),
        (make_run_model, [StopTraining()], [Stop(3, kill), at_the_end(kill)]),
        (make_run_model, [], [at_the_end(kill), at_the_end(kill)]),
    ],
    ids=["averages", "rates", "stopped", "at the end"],
)
def test_what_other_parts_of_keras_do(tmp_path, make, others, stops):
    (tmp_path / "whole").mkdir()
    expected = run(tmp_path / "whole", make(), others=others)
    for one in stops:
        with pytest.raises(Killed):
            run(tmp_path, make(), others=[*others, one], save_freq=1)
    got = run(tmp_path, make(seed=99), others=others, save_freq=1)
    assert got == expected


@pytest.mark.once
def test_kept_states_let_more_epochs_follow(tmp_path):
    settings = {"steps_per_epoch": 4, "verbose": 0}
    expected = make_run_model().fit(make_dataset(), epochs=3, **settings)
    kept = BackupAndRestore(tmp_path / "kept", delete_checkpoint=False)
    settings["callbacks"] = [kept]
    make_run_model().fit(make_dataset(), epochs=1, **settings)
    model = other_model()
    history = model.fit(make_dataset(), epochs=3, **settings)
    again = other_model().fit(make_dataset(), epochs=3, **settings)
    assert history.epoch == again.epoch == [0, 1, 2]
    assert history.history == again.history == expected.history


@pytest.mark.once
def test_at_another_batch_size_the_same_rows_follow(tmp_path):
    seen = []

    def record(model):
        model.recorders = (lambda of: seen.extend(keys(of)),)
        return model

    def keys(chosen):
        return keras.ops.convert_to_numpy(chosen["key"])[:, 0].tolist()

    everything = UniformSelection(filter_ratio=0.0)
    arguments = {"verbose": 0, "steps_per_epoch": 5}
    callbacks = [BackupAndRestore(tmp_path, save_freq=1), Stop(4, kill)]
    model = record(make_run_model(selection=everything))
    with pytest.raises(Killed):
        model.fit(make_dataset(10), callbacks=callbacks, **arguments)
    num_saved = 3 * 10  # The kill came before the fourth was saved.
    del seen[num_saved:]
    model = record(make_run_model(selection=everything))
    model.fit(make_dataset(7), callbacks=callbacks[:1], **arguments)
    rows = [row for batch in make_dataset(1, 2) for row in batch["key"][:, 0]]
    batches = [
        sorted(rows[first : first + size])
        for first, size in [(0, 10), (10, 10), (20, 10), (30, 7), (37, 7)]
    ]
    firsts = np.cumsum([0, 10, 10, 10, 7, 7])
    got = [
        sorted(seen[first:last])
        for first, last in zip(firsts, firsts[1:], strict=False)
    ]
    assert got == batches


def test_sigterm_ends_with_a_saved_state(tmp_path, whole):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"):
        run(tmp_path, others=[Stop(3, terminate)], save_freq="epoch")
    assert signal.getsignal(signal.SIGTERM) is before
    names = [path.name for path in (tmp_path / "backup").iterdir()]
    assert names == ["step-000000000003.npz"]
    got = run(tmp_path, other_model(), save_freq="epoch")
    assert got == whole
    assert signal.getsignal(signal.SIGTERM) is before


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


class TerminateInValidation(keras.callbacks.LambdaCallback):
    def on_test_batch_begin(self, batch, logs=None):
        terminate()


@pytest.mark.slow
def test_sigterm_in_validation_and_at_the_end(tmp_path, whole):
    with pytest.raises(SystemExit, match="143"):
        run(tmp_path, others=[TerminateInValidation()], save_freq="epoch")
    names = [path.name for path in (tmp_path / "backup").iterdir()]
    assert names == ["step-000000000004.npz"]
    with pytest.raises(SystemExit, match="143"):
        run(tmp_path, others=[at_the_end(terminate)], save_freq="epoch")
    assert run(tmp_path, other_model(), save_freq="epoch") == whole


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras runs step by step there"
)
def test_several_steps_an_execution(tmp_path):
    def fit(folder, num_steps=None, seed=3):
        model = make_run_model(seed=seed, steps_per_execution=2)
        history = model.fit(
            make_dataset(),
            steps_per_epoch=5,
            epochs=2,
            verbose=0,
            callbacks=[
                BackupAndRestore(folder, save_freq=1),
                Stop(num_steps or 99, kill),
            ],
        )
        return history.history, values_of(model)

    expected = fit(tmp_path / "whole")
    for num_steps in (2, 2):
        with pytest.raises(Killed):
            fit(tmp_path / "stopped", num_steps)
    assert fit(tmp_path / "stopped", seed=99) == expected


def labelled_dataset(kind, batch_size=8):
    """Pairs of inputs and labels; the data of a classifier."""
    x, y, _ = make_labelled(NUM_ROWS)
    rows = list(zip(x, y, strict=True))
    if kind == "loader":
        return grain.DataLoader(
            data_source=rows,
            sampler=grain.samplers.IndexSampler(
                NUM_ROWS, num_epochs=9, shuffle=True, seed=1
            ),
            operations=[grain.transforms.Batch(batch_size)],
        )
    dataset = grain.MapDataset.source(rows).seed(1).shuffle().repeat(9)
    dataset = dataset.batch(batch_size)
    return dataset if kind == "map" else dataset.to_iter_dataset()


def fit_classifier(folder, dataset, num_steps=None, epochs=2):
    model = make_model(
        make_classifier(),
        make_classifier(1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(
        dataset,
        steps_per_epoch=4,
        epochs=epochs,
        verbose=0,
        callbacks=[
            BackupAndRestore(folder, save_freq=1),
            Stop(num_steps or 99, kill),
        ],
    )
    return history.history, values_of(model)


@pytest.mark.parametrize(
    "kind",
    [
        "iterator",
        *(
            pytest.param(kind, marks=pytest.mark.once)
            for kind in ("map", "iter", "loader")
        ),
    ],
)
def test_any_grain_dataset_by_its_own_state(tmp_path, kind):
    def dataset(**kwargs):
        made = labelled_dataset(
            "iter" if kind == "iterator" else kind, **kwargs
        )
        return iter(made) if kind == "iterator" else made

    expected = fit_classifier(tmp_path / "whole", dataset())
    with pytest.raises(Killed):
        fit_classifier(tmp_path / "stopped", dataset(), num_steps=6)
    with pytest.raises(ValueError, match="Received: .*data.batch"):
        fit_classifier(tmp_path / "stopped", dataset(batch_size=5))
    assert fit_classifier(tmp_path / "stopped", dataset()) == expected


def unbuilt_model():
    """TensorFlow makes its variables in the first step."""
    towers = [
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)])
        for _ in range(2)
    ]
    model = JESTModel(DualEncoder(*towers), make_dual_encoder(), seed=3)
    policy = IndependentSelection(sub_batch_size=4)
    loss = SigmoidContrastiveLoss()
    model.compile(keras.optimizers.Adam(0.01), loss=loss, selection=policy)
    return model


@pytest.mark.parametrize("is_iterator", [False, True])
def test_a_model_that_is_not_built_goes_on(tmp_path, is_iterator):
    def fit(folder, *others):
        keras.utils.set_random_seed(0)  # For the weights to begin with.
        model, data = unbuilt_model(), make_dataset()
        model.fit(
            iter(data) if is_iterator else data,
            steps_per_epoch=6,
            verbose=0,
            callbacks=[*others, BackupAndRestore(folder, save_freq=2)],
        )
        return values_of(model)

    expected = fit(tmp_path / "whole")
    with pytest.raises(Killed):
        fit(tmp_path / "stopped", Stop(4, kill))
    assert fit(tmp_path / "stopped") == expected


def test_an_iterator_stands_behind_what_was_trained():
    arguments = {"steps_per_epoch": 3, "verbose": 0}
    once, twice = make_run_model(), make_run_model()
    once.fit(make_dataset(), **{**arguments, "steps_per_epoch": 6})
    iterator = iter(make_dataset())
    twice.fit(iterator, **arguments)
    assert iterator.get_state() == {"row": 30}
    twice.fit(iterator, **arguments)
    assert iterator.get_state() == {"row": 60}
    assert values_of(once) == values_of(twice)
    with pytest.raises(ValueError, match="iterator, epochs=2"):
        twice.fit(iterator, epochs=2)


@pytest.mark.once
def test_a_full_disk_leaves_the_older_state_whole(tmp_path, whole, monkeypatch):
    saves = []
    write = np.savez

    def savez(file, **arrays):
        saves.append(file)
        if len(saves) == 3:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, **arrays)

    monkeypatch.setattr(state_folder.np, "savez", savez)
    with pytest.raises(OSError, match="after 6 steps .*No space left"):
        run(tmp_path)
    names = sorted(path.name for path in (tmp_path / "backup").iterdir())
    assert names == ["step-000000000002.npz", "step-000000000004.npz"]
    assert run(tmp_path, other_model()) == whole


@pytest.mark.once
def test_a_damaged_state_gives_way_to_the_one_before(tmp_path, whole):
    stop(tmp_path, 5)
    newest = tmp_path / "backup" / "step-000000000004.npz"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 255
    newest.write_bytes(content)
    with pytest.warns(UserWarning, match="0004.npz is damaged"):
        stop(tmp_path, 3)
    newest.write_bytes(b"")
    with pytest.warns(UserWarning, match="0004.npz is damaged"):
        assert run(tmp_path, other_model()) == whole


@pytest.mark.once
def test_what_cannot_go_on_is_refused_by_name(tmp_path, monkeypatch):
    stop(tmp_path, 6, save_freq=1)

    def refuses(match, *args, **kwargs):
        with pytest.raises(ValueError, match=match):
            run(tmp_path, *args, **kwargs)

    refuses("'data.seed': 0.*'data.seed': 1", dataset=make_dataset(seed=1))
    refuses("'steps_per_epoch': 4.*'steps_per_epoch': 6", steps_per_epoch=6)
    refuses("'optimizer': 'Adam'", make_run_model(optimizer="sgd"))
    refuses("'first_step': 0.*'first_step': 3", make_run_model(first_step=3))
    refuses("epochs=1, and a state of epoch 2", epochs=1)
    refuses("The data end .* 5 steps made", dataset=make_dataset(10, 1))
    two = BackupAndRestore(tmp_path / "other")
    refuses("Leave all but one out", others=[two])
    wider = make_run_model(image_layers=[keras.layers.Dense(7)])
    refuses("shape \\(6, 8\\). Received: .*shape \\(6, 7\\)", wider)
    refuses("Received: x of type .*dict", dataset=POOL, batch_size=10)
    monkeypatch.setattr(run_identity, "__version__", "9.9.9")
    refuses("'keras_jest': '9.9.9'")


@pytest.mark.once
def test_a_plain_keras_model_is_refused(tmp_path):
    model = make_classifier()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="keras_jest.JESTModel"):
        model.fit(
            np.ones((4, 6)),
            np.ones((4, 3)),
            callbacks=[BackupAndRestore(tmp_path)],
        )


@pytest.mark.once
@pytest.mark.parametrize("save_freq", [0, -1, "batch", 1.5])
def test_save_freq_is_checked(tmp_path, save_freq):
    with pytest.raises(ValueError, match="save_freq="):
        BackupAndRestore(tmp_path, save_freq=save_freq)


@pytest.mark.slow
def test_kill_9_at_a_step_in_a_save_and_in_a_rename(tmp_path, whole):
    """Each process goes on from what the one before had saved."""
    rows = np.random.default_rng().integers(1, 5, size=3).tolist()
    for where, number in zip(["step", "save", "rename"], rows, strict=True):
        arguments = [str(tmp_path), where, str(number)]
        ended = subprocess.run(
            [sys.executable, HERE / "run_and_be_killed.py", *arguments],
            capture_output=True,
            text=True,
        )
        assert ended.returncode == -signal.SIGKILL, (rows, ended.stderr)
    assert run(tmp_path, other_model()) == whole, rows
