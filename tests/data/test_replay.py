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
    again.fit(replay, shuffle=False, verbose=0)
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


def test_any_keras_model_can_train_on_a_replay(recorded):
    _, path, x, y = recorded
    model = classifier(3)
    model.compile("sgd", loss=LOSS)
    rows = recorded_rows(path, x["key"])
    x = {**x, "unused": x["features"]}
    batch, labels = Replay(path, x, y)[2]
    np.testing.assert_array_equal(batch["features"], x["features"][rows[2]])
    np.testing.assert_array_equal(labels, y[rows[2]])
    assert model.train_on_batch(batch["features"], labels) is not None


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
