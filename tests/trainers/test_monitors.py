"""What monitors a quantity, and what logs it, in any order."""

import itertools

import keras
import numpy as np
import pytest
from small_models import make_model
from small_models import make_pool

from keras_jest.callbacks import RetrievalEvaluation
from keras_jest.trainers.monitors import behind_what_they_monitor

MEAN = "mean_recall@1"
EarlyStopping = keras.callbacks.EarlyStopping
ModelCheckpoint = keras.callbacks.ModelCheckpoint


def fit(model, callbacks, **kwargs):
    kwargs = {"batch_size": 20, "verbose": 0, "epochs": 3, **kwargs}
    return model.fit(make_pool(40), callbacks=callbacks, **kwargs).history


def make_evaluation(**kwargs):
    return RetrievalEvaluation(make_pool(10), ks=(1,), **kwargs)


@pytest.mark.filterwarnings("error:Early stopping conditioned")
@pytest.mark.filterwarnings("error:Can save best model only")
def test_early_stopping_and_checkpoints_work_before_what_they_monitor(tmp_path):
    model = make_model(selection=None)
    path = tmp_path / "{epoch}.weights.h5"
    # Nothing is ever a thousand better than before.
    callbacks = [
        EarlyStopping(MEAN, min_delta=1000, mode="max", patience=1),
        ModelCheckpoint(
            path,
            MEAN,
            save_weights_only=True,
            save_best_only=True,
            initial_value_threshold=-1.0,
        ),
        make_evaluation(),
    ]
    history = fit(model, callbacks)
    assert len(history[MEAN]) == 2
    best = 1 + int(np.argmax(history[MEAN]))
    assert (tmp_path / f"{best}.weights.h5").exists()
    # More is better, which Keras could not know.
    assert callbacks[1].mode == "max"


def test_a_file_is_named_by_what_is_logged(tmp_path):
    path = tmp_path / ("{epoch}-{" + MEAN + ":.2f}.weights.h5")
    checkpoint = ModelCheckpoint(path, save_weights_only=True)
    history = fit(
        make_model(selection=None), [checkpoint, make_evaluation()], epochs=1
    )
    name = f"1-{history[MEAN][0]:.2f}.weights.h5"
    assert [file.name for file in tmp_path.iterdir()] == [name]


class Numbered(keras.callbacks.Callback):
    def __init__(self, monitor=None, logged_names=()):
        super().__init__()
        self.monitor, self.logged_names = monitor, logged_names


@pytest.mark.once
def test_all_orders_become_one_that_works():
    callbacks = [
        Numbered("a"),
        Numbered(logged_names=("a", "c")),
        Numbered("b"),
        Numbered(logged_names=("b",)),
        Numbered(),
    ]
    for order in itertools.permutations(callbacks):
        ordered = behind_what_they_monitor(order)
        assert sorted(map(id, ordered)) == sorted(map(id, order))
        at = [ordered.index(of) for of in callbacks]
        assert at[0] > at[1] and at[2] > at[3]
        others = [of for of in order if of in (callbacks[1], *callbacks[3:])]
        assert [of for of in ordered if of in others] == others
        works = order.index(callbacks[0]) > order.index(callbacks[1])
        works &= order.index(callbacks[2]) > order.index(callbacks[3])
        if works:
            assert ordered == list(order)


class LogsMore(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["recall@7"] = 0.5


@pytest.mark.once
@pytest.mark.parametrize(
    ("monitor", "every", "message"),
    [
        ("val_recal@10", None, r"'mean_recall@1', .*without 'val_'"),
        (f"val_{MEAN}", None, f"monitor='val_{MEAN}'.*log .*'{MEAN}'"),
        ("mean_recall@5", None, "monitor='mean_recall@5'"),
        (MEAN, 2, "leave `every` out"),
    ],
)
def test_a_name_that_nobody_logs_is_told(monitor, every, message):
    model = make_model(selection=None)
    callbacks = [EarlyStopping(monitor), make_evaluation(every=every)]
    with pytest.raises(ValueError, match=f"what nobody logs.*{message}"):
        fit(model, callbacks)
    assert int(model.optimizer.iterations) == 0


@pytest.mark.once
def test_without_an_evaluation_one_is_named():
    model = make_model(selection=None)
    with pytest.raises(ValueError, match="such as .*RetrievalEvaluation"):
        fit(model, EarlyStopping(MEAN, mode="max"))


@pytest.mark.once
def test_names_that_others_may_log_are_left_alone():
    model = make_model(selection=None)
    stopping = EarlyStopping("recall@7", mode="max", patience=0)
    given = keras.callbacks.CallbackList(
        [LogsMore(), stopping, EarlyStopping("loss"), make_evaluation()],
        add_history=True,
        model=model,
        epochs=3,
    )
    assert len(fit(model, given)["recall@7"]) == 2
