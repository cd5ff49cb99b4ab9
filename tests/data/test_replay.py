"""What one run chose, another trains on without scoring."""

import keras
import numpy as np
import pytest

from keras_jest import ClassAct
from keras_jest import IndependentSelection
from keras_jest.callbacks import SelectionLog
from keras_jest.data import Replay
from keras_jest.data import export_subset
from keras_jest.data import key_to_hex
from keras_jest.data import record_key
from keras_jest.data import recorded_rows

pytest.importorskip("pyarrow.parquet")
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def make_data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(48, 4)).astype("float32")
    keys = np.stack([record_key(str(row)) for row in range(48)])
    return {"features": x, "key": keys}, rng.integers(0, 3, 48)


def classifier(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input((4,), name="features"), keras.layers.Dense(3)]
    )


def make_model(selection):
    model = ClassAct(classifier(0), classifier(1), classifier(2), seed=0)
    model.compile(keras.optimizers.Adam(0.1), loss=LOSS, selection=selection)
    return model


@pytest.fixture
def recorded(tmp_path):
    """A finished run, the path of its log, and its data."""
    x, y = make_data()
    model = make_model(IndependentSelection(sub_batch_size=5))
    path = tmp_path / "picks.parquet"
    log = SelectionLog(path)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[log])
    return model, path, x, y


def test_a_replayed_run_has_the_same_weights_to_the_last_bit(recorded):
    model, path, x, y = recorded
    again = make_model(None)
    replay = Replay(path, x, y, sub_batch_size=5)
    assert len(replay) == 6
    again.fit(replay, verbose=0)
    for part in ("learner", "online"):
        for one, other in zip(
            getattr(model, part).weights,
            getattr(again, part).weights,
            strict=True,
        ):
            np.testing.assert_array_equal(
                keras.ops.convert_to_numpy(one),
                keras.ops.convert_to_numpy(other),
            )


def two_inputs():
    """A functional model of two named inputs: a dict is sorted for it."""
    keras.utils.set_random_seed(3)
    inputs = {
        name: keras.Input((4,), name=name) for name in ("features", "other")
    }
    outputs = keras.layers.Dense(3)(
        keras.layers.Concatenate()(list(inputs.values()))
    )
    return keras.Model(inputs, outputs)


def test_any_keras_model_can_train_on_a_replay(recorded):
    """The key is no input: Keras would feed it to the first one."""
    _, path, x, y = recorded
    x = {**x, "other": -2 * x["features"]}
    weight = np.linspace(0.5, 2.0, len(y)).astype("float32")
    by_fit, by_hand = two_inputs(), two_inputs()
    for model in (by_fit, by_hand):
        model.compile(keras.optimizers.SGD(0.1), loss=LOSS)
    replay = Replay(path, x, y, sample_weight=weight)
    by_fit.fit(replay, shuffle=False, verbose=0)
    for rows in recorded_rows(path, x["key"]):
        inputs = {name: x[name][rows] for name in ("features", "other")}
        by_hand.train_on_batch(inputs, y[rows], weight[rows])
    for one, other in zip(by_fit.weights, by_hand.weights, strict=True):
        # The same steps; XLA may order sums of float32 another way in two
        # programs: some 1e-7 of numbers about 1 in each of 6 steps.
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(one),
            keras.ops.convert_to_numpy(other),
            rtol=1e-5,
            atol=1e-6,
        )


def test_a_run_with_weights(tmp_path):
    x, y = make_data()
    weight = np.linspace(0.5, 2.0, len(y)).astype("float32")
    models = (
        make_model(IndependentSelection(sub_batch_size=5)),
        make_model(None),
    )
    path = tmp_path / "picks.parquet"
    models[0].fit(
        x,
        y,
        batch_size=16,
        sample_weight=weight,
        verbose=0,
        callbacks=[SelectionLog(path)],
    )
    models[1].fit(Replay(path, x, y, sample_weight=weight), verbose=0)
    for one, other in zip(*(of.learner.weights for of in models), strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other)
        )


@pytest.mark.parametrize(
    ("selection", "kwargs", "message"),
    [
        ("uniform", {}, "(?s)sub-batches.*selection=<"),
        (None, {"shuffle": True}, "shuffle=True"),
        (None, {"epochs": 2}, "(?s)had 6 steps. Received: 12 steps"),
        (None, {"steps_per_epoch": 10}, "Received: 10 steps"),
    ],
)
def test_a_replay_is_trained_on_as_it_is(recorded, selection, kwargs, message):
    model, path, x, y = recorded
    with pytest.raises(ValueError, match=message):
        model.fit(Replay(path, x, y), selection=selection, **kwargs)


def test_a_key_that_names_two_examples(recorded):
    _, path, x, _ = recorded
    keys = np.concatenate([x["key"], x["key"][:2]])
    with pytest.raises(ValueError, match="2 of 50 keys more than once"):
        recorded_rows(path, keys)


def test_keys_that_are_not_here(recorded):
    _, path, x, _ = recorded
    with pytest.raises(ValueError, match="keys of the recorded run are not"):
        recorded_rows(path, x["key"][:20])


def test_another_sub_batch_size(recorded):
    _, path, x, y = recorded
    with pytest.raises(ValueError, match="sub_batch_size=6, recorded=5"):
        Replay(path, x, y, sub_batch_size=6)


def test_a_replay_that_runs_out(recorded):
    _, path, x, y = recorded
    with pytest.raises(ValueError, match="has 6 steps. Received: step=6"):
        Replay(path, x, y)[6]


def test_without_keys(recorded, tmp_path):
    _, path, x, y = recorded
    del x["key"]
    with pytest.raises(ValueError, match="no 'key'"):
        Replay(path, x, y)
    model = make_model(IndependentSelection(0.5))
    log = SelectionLog(tmp_path / "other.parquet")
    model.fit(x, y, batch_size=16, verbose=0, callbacks=[log])
    with pytest.raises(ValueError, match="batches had 'key'"):
        export_subset(tmp_path / "other.parquet", tmp_path / "subset.npy")


@pytest.mark.parametrize("min_count", [1, 2])
def test_a_subset_as_datacomp_reads_it(recorded, tmp_path, min_count):
    _, path, x, _ = recorded
    export_subset(path, tmp_path / "subset.npy", min_count)
    subset = np.load(tmp_path / "subset.npy")
    assert subset.dtype == np.dtype("u8,u8")
    rows, counts = np.unique(
        np.concatenate(recorded_rows(path, x["key"])), return_counts=True
    )
    names = [key_to_hex(x["key"][row]) for row in rows[counts >= min_count]]
    assert [f"{high:016x}{low:016x}" for high, low in subset] == sorted(names)
    uids = {key_to_hex(key): f"{row:032x}" for row, key in enumerate(x["key"])}
    subset = export_subset(path, tmp_path / "uids.npy", min_count, uids)
    assert [low for _, low in subset] == rows[counts >= min_count].tolist()
