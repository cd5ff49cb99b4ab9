"""What runs cost, against sums by hand."""

import json
import os
import pathlib
import signal
import sys

import keras
import numpy as np
import pytest

sys.path.append(str(pathlib.Path(__file__).parents[1] / "trainers"))

from resumable_run import Stop
from resumable_run import make_dataset
from small_models import make_classifier
from small_models import make_dual_encoder
from small_models import make_labelled
from small_models import make_model
from small_models import make_pool
from small_models import make_towers

from keras_jest import ClassAct
from keras_jest import IndependentSelection
from keras_jest import UniformSelection
from keras_jest.callbacks import BackupAndRestore
from keras_jest.callbacks import ComputeLedger
from keras_jest.callbacks.ledger_checks import mode_of
from keras_jest.evaluation import computation
from keras_jest.evaluation import count_flops
from keras_jest.evaluation import plot_ledgers
from keras_jest.models import Precomputed

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
TOWER = 2 * 6 * 8  # FLOPs of the image tower of `make_dual_encoder`.
SAVED = TOWER  # Its pictures get no gradients.
ONCE = pytest.mark.once
RUN = {"batch_size": 20, "shuffle": False, "verbose": 0}


def make_act(width, **kwargs):
    """A `ClassAct` that keeps 8 rows, of models of widths by their role."""
    hidden = {
        role: [keras.layers.Dense(size, activation="relu")]
        for role, size in width.items()
    }
    models = {role: make_classifier(layers=hidden[role]) for role in width}
    model = ClassAct(**models, seed=3, **kwargs)
    model.compile("sgd", loss=LOSS, selection=IndependentSelection(0.6))
    return model


def classifier_flops(width):
    """Forward, and forward with backward: 6 inputs get no gradients."""
    first, second = 2 * 6 * width, 2 * width * 3
    return first + second, 2 * first + 3 * second


def last(ledger):
    return ledger.record["epochs"][-1]


def test_jest_with_a_reference():
    model = make_model()
    ledger = ComputeLedger(verbose=0)
    history = model.fit(make_pool(50), epochs=2, callbacks=[ledger], **RUN)
    # 20, 20 and 10 rows; 5 of each are kept.
    point, trained, scored = last(ledger), 2 * 15, 2 * 50
    assert (point["examples_trained"], point["examples_scored"]) == (30, 100)
    assert point["steps"] == 6
    expected = computation(
        TOWER, trained, scored, reference=TOWER, learner_scores=True
    )
    expected["learner training"] -= trained * SAVED
    expected["total"] -= trained * SAVED
    assert point["flops"] == expected
    logs = {name: values[-1] for name, values in history.history.items()}
    assert logs["flops"] == expected["total"]
    # Of the second epoch, which is half of the run.
    steps = point["per_step"]
    half = {name: value / 6 for name, value in expected.items()}
    assert steps["flops"] == pytest.approx(half)  # Sums of other parts.
    assert (steps["examples_trained"], steps["examples_scored"]) == (5, 50 / 3)
    assert logs["flops_per_step"] == steps["flops"]["total"]
    assert logs["examples_trained_per_step"] == 5
    assert (logs["examples_trained"], logs["examples_scored"]) == (30, 100)
    assert 0 <= point["seconds_waited"] < point["seconds"]
    before = ledger.record["epochs"][0]
    spent = point["seconds"] - before["seconds"]
    # The clock goes on between two looks at it, by less than the end of an
    # epoch and the begin of the next take.
    assert 0 < 3 * steps["seconds"] <= spent
    assert logs["seconds_per_step"] == steps["seconds"]
    assert 0 <= steps["seconds_waited"] < steps["seconds"]


def test_a_slice_at_a_time_costs_the_same():
    records = []
    for size in (None, 7):
        model, ledger = make_model(scoring_batch_size=size), ComputeLedger()
        model.fit(make_pool(), callbacks=[ledger], **RUN)
        records.append((last(ledger)["flops"], ledger.record["step"]))
    assert records[0] == records[1]


def test_models_beside_the_learner():
    model = make_act(
        {"learner": 16, "online": 4, "reference": 8}, train_reference=True
    )
    x, y, _ = make_labelled()
    ledger = ComputeLedger(num_reference=1000, verbose=0)
    model.fit(x, y, callbacks=[ledger], **RUN)
    trained, scored = 16, 40
    _, learner = classifier_flops(16)
    online, online_training = classifier_flops(4)
    reference, reference_training = classifier_flops(8)
    expected = {
        "learner training": trained * learner,
        "online scoring": scored * online,
        "online training": trained * online_training,
        "reference scoring": scored * reference,
        # It trains on all that is drawn, and was trained before.
        "reference training": scored * reference_training
        + 3 * reference * 1000,
    }
    expected["total"] = sum(expected.values())
    assert last(ledger)["flops"] == expected


@pytest.mark.once
def test_rows_that_a_schedule_does_not_score():
    model = make_model(first_step=1, last_step=3)
    ledger = ComputeLedger(verbose=0)
    model.fit(make_pool(80), callbacks=[ledger], **RUN)
    assert last(ledger)["examples_trained"] == 20
    assert last(ledger)["examples_scored"] == 40
    assert last(ledger)["flops"]["reference scoring"] == 40 * TOWER


@pytest.mark.once
def test_a_policy_that_reads_no_losses():
    model = make_model(selection=UniformSelection(sub_batch_size=5))
    ledger = ComputeLedger(verbose=0)
    model.fit(make_pool(), callbacks=[ledger], **RUN)
    assert last(ledger)["examples_scored"] == 0
    assert last(ledger)["examples_looked_at"] == 10
    assert ledger.record["step"]["uniform_steps"] == 1
    model.fit(make_pool(), selection=None, callbacks=[ledger], **RUN)
    assert last(ledger)["examples_trained"] == 10 + 40


@pytest.mark.once
def test_a_stored_reference():
    pool = make_pool()
    pairs = make_dual_encoder(1.0).predict(pool, verbose=0)
    arrays = {
        "reference_image_embedding": pairs["image_embedding"],
        "reference_text_embedding": pairs["text_embedding"],
    }
    model = make_model(reference=Precomputed(10.0, -10.0))
    ledger = ComputeLedger(
        num_stored=400, num_reference=100, reference_flops=7.0, verbose=0
    )
    model.fit({**pool, **arrays}, callbacks=[ledger], **RUN)
    flops = last(ledger)["flops"]
    assert flops["reference scoring"] == 7 * 400
    assert flops["reference training"] == 3 * 7 * 100
    assert flops["online scoring"] == 40 * TOWER
    with pytest.raises(ValueError, match="`reference_flops="):
        unknown = ComputeLedger(num_stored=400)
        model.fit({**pool, **arrays}, callbacks=[unknown], **RUN)


def test_a_plain_model_counts_its_rows(tmp_path):
    model = make_classifier(layers=[keras.layers.Dense(16)])
    model.compile("sgd", loss=LOSS)
    x, y, weight = make_labelled(50)
    ledger = ComputeLedger(path=tmp_path / "plain.json", monitor="val_loss")
    model.fit(
        x,
        y,
        sample_weight=weight,
        epochs=2,
        validation_data=(x[:30], y[:30]),
        callbacks=[ledger],
        **RUN,
    )
    # Validation has its own rows, which are none of these.
    assert last(ledger)["examples_trained"] == 100
    expected = 100 * classifier_flops(16)[1]
    assert last(ledger)["flops"]["total"] == expected
    written = json.loads((tmp_path / "plain.json").read_text())
    assert written == ledger.record
    assert [of["monitored"] is None for of in written["epochs"]] == [False] * 2
    assert model.train_function is not None
    model.fit(x, y, **RUN)


def test_validation_does_not_hide_what_was_selected():
    model, ledger = make_model(), ComputeLedger(verbose=0)
    pool = make_pool()
    model.fit(pool, validation_data=(pool,), callbacks=[ledger], **RUN)
    assert last(ledger)["examples_scored"] == 40


class Evaluates(keras.callbacks.Callback):
    """What users do: evaluate on other rows, in an epoch and at its end."""

    def __init__(self, *data):
        super().__init__()
        self.data = data

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            self.on_epoch_end(0)

    def on_epoch_end(self, epoch, logs=None):
        self.model.evaluate(*self.data, batch_size=7, verbose=0)


@pytest.mark.parametrize("is_plain", [False, True])
def test_evaluations_are_not_counted(is_plain):
    x, y, _ = make_labelled()
    model = make_act({"learner": 16, "online": 4, "reference": 8})
    if is_plain:
        model = model.learner
        model.compile("sgd", loss=LOSS)
    ledger = ComputeLedger(verbose=0)
    callbacks = [Evaluates(x[:12], y[:12]), ledger]
    logs = model.fit(x, y, epochs=2, callbacks=callbacks, **RUN).history
    rows = [40, 80] if is_plain else [16, 32]
    assert logs["examples_trained"] == rows
    assert logs["examples_scored"] == ([0, 0] if is_plain else [40, 80])
    per_step = last(ledger)["flops"]["total"] / 4
    assert logs["flops_per_step"] == [per_step, per_step]
    assert "reset_metrics" not in vars(model)


def test_several_steps_at_a_time():
    if keras.backend.backend() == "torch":
        pytest.skip("Keras has none of it on torch")
    model, ledger = make_model(steps_per_execution=3), ComputeLedger(verbose=0)
    model.fit(make_pool(80), callbacks=[ledger], **RUN)
    assert last(ledger)["steps"] == 4
    assert last(ledger)["examples_scored"] == 80


def run_with_backup(folder, *others):
    """A run, perhaps until another callback ends it, and its ledger."""
    ledger = ComputeLedger(path=folder / "run.json", monitor="loss", verbose=0)
    make_model().fit(
        make_dataset(),
        epochs=3,
        steps_per_epoch=3,
        validation_data=(make_pool(),),
        callbacks=[ledger, *others, BackupAndRestore(folder / "b", 1)],
        verbose=0,
    )
    return ledger


class Killed(BaseException):
    pass


def kill():
    raise Killed


def without_seconds(record):
    """Of its epochs, and of what they say of a step."""
    if isinstance(record, list):
        return [without_seconds(of) for of in record]
    if not isinstance(record, dict):
        return record
    return {
        name: without_seconds(of)
        for name, of in record.items()
        if not name.startswith("seconds")
    }


def terminate(batch, logs):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.once
def test_a_run_that_was_stopped_adds_up(tmp_path):
    (tmp_path / "whole").mkdir()
    whole = run_with_backup(tmp_path / "whole").record
    # In an epoch, in the validation at its end, and when it is over.
    in_validation = keras.callbacks.LambdaCallback(on_test_batch_end=terminate)
    for other in (Stop(2, kill), in_validation, Stop(3, kill)):
        with pytest.raises((Killed, SystemExit)):
            run_with_backup(tmp_path, other)
    resumed = run_with_backup(tmp_path).record
    assert without_seconds(resumed) == without_seconds(whole)
    seconds = [of["seconds"] for of in resumed["epochs"]]
    assert seconds == sorted(seconds)
    assert json.loads((tmp_path / "run.json").read_text()) == resumed


@pytest.mark.once
def test_what_a_step_costs_is_said_before_the_first(capsys):
    model, ledger = make_model(), ComputeLedger(num_reference=10)
    said = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: said.append(
            capsys.readouterr().out
        )
    )
    model.fit(make_pool(), callbacks=[ledger, look], **RUN)
    uniform = 5 * (3 * TOWER - SAVED)
    step = uniform + 2 * 20 * TOWER
    ratio = step / uniform
    assert ratio == 5
    once = 3 * 10 * TOWER / uniform
    assert said[0] == (
        "A step costs 5.00 uniform ones: it pays if 80% of the steps are "
        f"saved, and {once:.0f} more for what the reference has cost.\n"
    )
    assert said[1:] == [""]
    assert ledger.record["step"]["break_even"] == 0.8


@pytest.fixture
def uniform(tmp_path):
    """The JSON of a uniform run whose quality is 1, 2, 3."""
    path = tmp_path / "uniform.json"
    ledger = ComputeLedger(path=path, monitor="accuracy", verbose=0)
    fit_with_quality(make_model(selection=None), ledger, [1.0, 3.0, 2.0])
    return path


def fit_with_quality(model, ledger, values, pool=None):
    def log(epoch, logs):
        logs["accuracy"] = values[epoch]

    quality = keras.callbacks.LambdaCallback(on_epoch_end=log)
    model.fit(
        pool or make_pool(),
        epochs=len(values),
        callbacks=[quality, ledger],
        **RUN,
    )


@pytest.mark.once
def test_a_baseline_is_passed(tmp_path, uniform, capsys):
    picture = tmp_path / "curves.png"
    ledger = ComputeLedger(uniform, tmp_path / "run.json", picture=picture)
    fit_with_quality(make_model(), ledger, [2.9, 3.0, 4.0])
    assert ledger.monitor == "accuracy"
    step = 5 * (3 * TOWER - SAVED) + 2 * 20 * TOWER
    goal = 80 * (3 * TOWER - SAVED)
    assert ledger.record["passed"] == {
        "epoch": 2,
        "monitored": 3.0,
        "baseline_epoch": 2,
        "baseline_monitored": 3.0,
        "examples_trained": 20 / 80,
        "examples_looked_at": 1.0,
        "computation": 4 * step / goal,
    }
    said = capsys.readouterr().out
    assert "Epoch 2: accuracy is 3 and passes the baseline's best, 3" in said
    assert picture.stat().st_size > 1000


NAN = float("nan")


def fit_to_its_end(ledger, *before):
    """Nothing that stands behind the ledger misses the end of a run."""
    ends = []
    behind = keras.callbacks.LambdaCallback(on_train_end=ends.append)
    callbacks = [*before, ledger, behind]
    history = make_model().fit(make_pool(), callbacks=callbacks, **RUN).history
    assert len(ends) == 1
    assert len(history["loss"]) == len(ledger.record["epochs"]) == 1
    assert json.loads(ledger.path.read_text())["epochs"][0]["flops"]["total"]


@pytest.mark.once
@pytest.mark.filterwarnings("ignore:The logs of the epoch lack")
@pytest.mark.parametrize("value", [None, NAN])
def test_a_run_that_monitored_nothing_has_no_picture(tmp_path, uniform, value):
    picture = tmp_path / "curves.png"
    ledger = ComputeLedger(uniform, tmp_path / "run.json", picture=picture)
    quality = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(accuracy=value)
    )
    message = "No picture was drawn.*callback that logs 'accuracy' before"
    with pytest.warns(UserWarning, match=message):
        fit_to_its_end(ledger, *[quality][: value is not None])
    assert not picture.exists()


@pytest.mark.once
def test_a_picture_that_cannot_be_written(tmp_path, uniform):
    picture = tmp_path / "curves.words"
    ledger = ComputeLedger(
        uniform, tmp_path / "run.json", monitor="accuracy", picture=picture
    )
    quality = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(accuracy=1.0)
    )
    message = "No picture was drawn.*plot_ledgers.*'words' is not supported"
    with pytest.warns(UserWarning, match=message):
        fit_to_its_end(ledger, quality)


@pytest.mark.once
def test_no_picture_of_a_fit_without_a_step(tmp_path, uniform):
    ledger = ComputeLedger(uniform, picture=tmp_path / "curves.png")
    with pytest.warns(UserWarning, match="No picture was drawn"):
        make_model().fit(make_pool(), epochs=0, callbacks=[ledger], **RUN)


@pytest.mark.once
def test_the_same_curve_over_three_axes(tmp_path, uniform):
    ledger = ComputeLedger(uniform, tmp_path / "run.json", verbose=0)
    fit_with_quality(make_model(), ledger, [2.0, 3.0])
    runs = {"uniform": uniform, "joint": tmp_path / "run.json"}
    axes = plot_ledgers(runs).axes
    found = [
        [line.get_xdata().tolist() for line in axis.lines[:2]] for axis in axes
    ]
    assert found[0] == [[40, 80, 120], [10, 20]]
    assert found[1] == [[40, 80, 120], [40, 80]]
    joint = [of["flops"]["total"] for of in ledger.record["epochs"]]
    assert found[2][1] == joint
    for axis in axes:
        assert axis.lines[1].get_ydata().tolist() == [2.0, 3.0]
        assert axis.lines[2].get_ydata() == [3.0, 3.0]


@pytest.mark.parametrize(
    "change, name",
    [
        ({"loss": "softmax"}, "loss"),
        pytest.param({"monitor": "val_accuracy"}, "monitor", marks=ONCE),
        pytest.param({"wider": True}, "training_flops", marks=ONCE),
    ],
)
def test_a_baseline_of_another_task(uniform, change, name):
    from keras_jest.losses import SoftmaxContrastiveLoss

    learner = make_dual_encoder(
        image_layers=[keras.layers.Dense(6)] if "wider" in change else ()
    )
    kwargs = {"loss": SoftmaxContrastiveLoss()} if "loss" in change else {}
    model = make_model(learner, **kwargs)
    ledger = ComputeLedger(uniform, monitor=change.get("monitor"))
    before = [keras.ops.convert_to_numpy(of) for of in model.weights]
    with pytest.raises(ValueError, match=f"another task.*Expected.*'{name}'"):
        model.fit(make_pool(), callbacks=[ledger], **RUN)
    after = [keras.ops.convert_to_numpy(of) for of in model.weights]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_a_loss_that_is_made_anew_is_the_same(tmp_path):
    """Keras numbers the losses of users: `own_loss`, `own_loss_1`."""

    @keras.saving.register_keras_serializable()
    class OwnLoss(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return LOSS.call(y_true, y_pred)

    settings, path = [], None
    for name in ("first.json", "second.json"):
        model = make_act({"learner": 16, "reference": 8})
        model.compile(
            "sgd", loss=OwnLoss(), selection=IndependentSelection(0.6)
        )
        ledger = ComputeLedger(path, tmp_path / name, "loss", verbose=0)
        x, y, _ = make_labelled(50)
        model.fit(x, y, callbacks=[ledger], **RUN)
        path = tmp_path / name
        settings.append(model.get_selection_settings() | {"first_draw": 0})
    assert settings[0] == settings[1]
    assert "OwnLoss" in settings[0]["loss"]["class_name"]


@pytest.mark.once
def test_what_is_no_baseline(tmp_path):
    other = tmp_path / "other.json"
    for text in ("[]", "{}", '{"format": "2"}', "no JSON"):
        other.write_text(text)
        with pytest.raises(ValueError, match="Expected.*JSON.*other.json"):
            make_model().fit(
                make_pool(), callbacks=[ComputeLedger(other)], **RUN
            )


@pytest.mark.once
@pytest.mark.parametrize(
    "kwargs, expected",
    [
        ({"mode": "most"}, "`mode` must be"),
        ({"num_stored": -1}, "`num_stored` must be"),
        ({"num_reference": 0.5}, "`num_reference` must be"),
        ({"picture": "curves.png"}, "`baseline`"),
        ({"monitor": "quality"}, "Pass mode="),
        ({"path": "no/such/folder.json"}, "in a folder"),
        ({"num_stored": 5}, "scores in every step"),
    ],
)
def test_arguments_that_make_no_sense(kwargs, expected):
    with pytest.raises(ValueError, match=expected):
        ledger = ComputeLedger(**kwargs)
        make_model().fit(make_pool(), callbacks=[ledger], **RUN)


@pytest.mark.once
@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        ("val_loss", "min"),
        ("lossless_accuracy", "max"),
        ("text_to_image_recall@10", "max"),
    ],
)
def test_what_is_better_is_told_by_words(monitor, mode):
    assert mode_of(monitor, "auto") == mode


def test_a_monitor_that_is_not_logged():
    ledger = ComputeLedger(monitor="val_loss", verbose=0)
    with pytest.warns(UserWarning, match="lack what is monitored"):
        make_model().fit(make_pool(), callbacks=[ledger], **RUN)
    assert last(ledger)["monitored"] is None


def test_a_monitor_that_is_no_single_number():
    ledger = ComputeLedger(monitor="scores", mode="max", verbose=0)
    scores = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(scores=np.arange(3.0))
    )
    with pytest.warns(UserWarning, match="no single number"):
        make_model().fit(make_pool(), callbacks=[scores, ledger], **RUN)
    assert last(ledger)["monitored"] is None


@pytest.mark.once
def test_a_model_without_a_mean_of_its_loss():
    class Model(keras.Sequential):
        metrics = ()

    model = Model([keras.Input((6,)), keras.layers.Dense(3)])
    model.compile("sgd", loss=LOSS)
    with pytest.raises(ValueError, match="keeps none.*JESTModel"):
        model.fit(*make_labelled()[:2], callbacks=[ComputeLedger()], **RUN)


def test_time_for_data_is_told_from_time_for_steps():
    import time

    pool = make_pool()

    def slow():
        for _ in range(6):
            time.sleep(0.1)
            yield (pool,)

    model, ledger = make_model(), ComputeLedger(verbose=0)
    model.fit(
        slow(), shuffle=False, steps_per_epoch=4, callbacks=[ledger], verbose=0
    )
    # Keras reads some before the run begins, to know their shapes.
    assert 0.2 < last(ledger)["seconds_waited"] < last(ledger)["seconds"]


@pytest.mark.once
def test_a_model_may_tell_its_own_passes():
    from keras_jest.flops import ModelPass
    from keras_jest.flops.model_pass import UNIFORM

    model = make_model()
    tower, _ = make_towers()

    def passes(inputs):
        assert inputs["images"].shape[0] == 20

        def look(rows):
            return tower(rows["images"])

        return [
            ModelPass(
                "learner training", tower, look, True, "trained_rows", 0.5
            ),
            ModelPass("online scoring", tower, look),
            ModelPass(UNIFORM, tower, look, True, "trained_rows"),
        ]

    model.passes = passes
    ledger = ComputeLedger(verbose=0)
    model.fit(make_pool(), callbacks=[ledger], **RUN)
    training = count_flops(tower, make_pool()["images"], training=True)
    flops = last(ledger)["flops"]
    assert flops["learner training"] == 10 * training / 2
    assert flops["online scoring"] == 40 * TOWER
    assert ledger.record["step"]["uniform_flops"] == 5 * training


@pytest.mark.once
def test_a_run_after_one_that_failed():
    x, y, _ = make_labelled()
    model = make_act({"learner": 16, "online": 4, "reference": 8})
    ledger = ComputeLedger(verbose=0)
    with pytest.raises(Killed):
        model.fit(x, y, callbacks=[ledger, Stop(1, kill)], **RUN)
    model.fit(x, y, callbacks=[ledger], **RUN)
    whole = last(ledger)["flops"]
    model.compile("sgd", loss=LOSS, selection=UniformSelection(0.6))
    model.fit(x, y, callbacks=[ledger], **RUN)
    assert last(ledger)["flops"]["online scoring"] == whole["online scoring"]
    assert last(ledger)["examples_trained"] == 32
    assert not hasattr(model.train_function, "see_first")
