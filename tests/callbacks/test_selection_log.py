"""The parquet file says which rows were trained on."""

import keras
import numpy as np
import pytest

from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest import UniformSelection
from keras_jest.callbacks import SelectionLog
from keras_jest.data import key_to_hex
from keras_jest.data import record_key
from keras_jest.data import recorded_rows
from keras_jest.data import recorded_settings
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder

parquet = pytest.importorskip("pyarrow.parquet")


def make_encoder():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(6)])


def make_model(**kwargs):
    learner = DualEncoder(make_encoder(), make_encoder())
    reference = DualEncoder(make_encoder(), make_encoder())
    model = JESTModel(learner, reference, seed=0)
    # A learning rate of 0 keeps the losses the same for the whole run.
    model.compile(
        keras.optimizers.SGD(0.0), loss=SigmoidContrastiveLoss(), **kwargs
    )
    return model


@pytest.fixture
def pool():
    values = np.random.default_rng(0).normal(size=(2, 36, 4))
    images, texts = values.astype("float32")
    keys = np.stack([record_key(str(row)) for row in range(36)])
    return {"images": images, "token_ids": texts, "key": keys}


@pytest.mark.parametrize("steps_at_a_time", [1, 3])
def test_rows_keys_and_scores(pool, tmp_path, steps_at_a_time):
    model = make_model(selection=IndependentSelection(0.5, gain=float("inf")))
    log = SelectionLog(tmp_path / "log.parquet", steps_at_a_time)
    model.fit(pool, batch_size=10, shuffle=False, verbose=0, callbacks=[log])
    table = parquet.read_table(tmp_path / "log.parquet").to_pydict()

    loss, scores = SigmoidContrastiveLoss(), []
    inputs = {name: pool[name] for name in ("images", "token_ids")}
    for encoder in (model.learner, model.reference):
        losses = loss.given(encoder.predict(inputs, verbose=0)).values
        scores.append(keras.ops.convert_to_numpy(losses))
    scores = scores[0] - scores[1]
    steps, rows, kept, means = [], [], [], []
    for step, start in enumerate(range(0, 36, 10)):
        batch = scores[start : start + 10]
        picks = np.argsort(-batch)[: len(batch) // 2]
        steps += [step] * len(picks)
        rows += picks.tolist()
        kept += (start + picks).tolist()
        means += [batch.mean()] * len(picks)
    assert table["step"] == steps
    assert table["row"] == rows
    assert table["key"] == [key_to_hex(pool["key"][row]) for row in kept]
    np.testing.assert_allclose(table["score"], scores[kept], atol=1e-4)
    # Means of ten such scores, of which each is right to 1e-4.
    np.testing.assert_allclose(table["seen_score"], means, atol=1e-4)


@pytest.mark.parametrize(
    "kwargs, is_scored",
    [
        ({"selection": UniformSelection(0.5)}, [False] * 4),
        ({"first_step": 2}, [False, False, True, True]),
    ],
)
def test_steps_that_score_nothing_have_no_scores(
    pool, tmp_path, kwargs, is_scored
):
    model = make_model(**{"selection": IndependentSelection(0.5), **kwargs})
    log = SelectionLog(tmp_path / "log.parquet")
    model.fit(pool, batch_size=9, verbose=0, callbacks=[log])
    table = parquet.read_table(log.path).to_pydict()
    expected = np.array(is_scored)[table["step"]]
    for name in ("score", "seen_score"):
        assert np.array_equal(np.isfinite(table[name]), expected)


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            raise KeyboardInterrupt


class FailsAtOnce(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        raise RuntimeError("at once")


def test_an_older_file_is_replaced_by_a_complete_one_only(pool, tmp_path):
    """Not by a run that fails in its first step, nor by one cut short."""
    model = make_model(selection=IndependentSelection(0.5))
    path = tmp_path / "log.parquet"
    model.fit(pool, batch_size=12, verbose=0, callbacks=[SelectionLog(path)])
    older = path.read_bytes()
    log = SelectionLog(path, steps_at_a_time=1)
    for stop in (FailsAtOnce(), Interrupt()):
        with pytest.raises((RuntimeError, KeyboardInterrupt)):
            model.fit(pool, batch_size=12, verbose=0, callbacks=[log, stop])
        assert path.read_bytes() == older
    # Two steps were made since, and the run goes on from there.
    model.fit(pool, batch_size=18, verbose=0, callbacks=[log])
    steps = parquet.read_table(path)["step"].to_pylist()
    first = [0] * 6 + [1] * 6 + [2] * 6
    assert steps == first + [3] * 6 + [4] * 6 + [5] * 9 + [6] * 9
    assert sorted(tmp_path.iterdir()) == [path]
    another = make_model(selection=IndependentSelection(0.5))
    another.fit(pool, batch_size=12, verbose=0, callbacks=[SelectionLog(path)])
    assert parquet.read_table(path)["step"].to_pylist() == first


@pytest.mark.once
@pytest.mark.parametrize("steps_at_a_time", [1, 2, 100])
def test_what_is_written_is_at_most_some_steps_short(
    pool, tmp_path, steps_at_a_time
):
    path, short = tmp_path / "log.parquet", []

    class Read(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            rows = recorded_rows(f"{path}.unfinished", pool["key"])
            short.append(batch + 1 - len(rows))

    log = SelectionLog(path, steps_at_a_time)
    make_model().fit(pool, batch_size=4, verbose=0, callbacks=[log, Read()])
    assert short == [
        min(step - 1, step % steps_at_a_time) for step in range(1, 10)
    ]
    assert len(recorded_rows(path, pool["key"])) == 9


@pytest.mark.once
@pytest.mark.parametrize("is_full", [False, True])
def test_a_fit_without_a_step_leaves_all_as_it_was(pool, tmp_path, is_full):
    path = tmp_path / "log.parquet"
    if is_full:
        path.write_bytes(b"older")
    make_model().fit(pool, epochs=0, verbose=0, callbacks=[SelectionLog(path)])
    assert [file.read_bytes() for file in tmp_path.iterdir()] == (
        [b"older"] if is_full else []
    )


@pytest.mark.once
def test_a_path_that_cannot_be_written_is_an_error_at_once(pool, tmp_path):
    for path in (tmp_path / "none" / "log.parquet", tmp_path):
        with pytest.raises(ValueError, match="path of a file, in a folder"):
            make_model().fit(
                pool, verbose=0, callbacks=[SelectionLog(path), FailsAtOnce()]
            )
    with pytest.raises(ValueError, match="steps_at_a_time=0"):
        SelectionLog(tmp_path / "log.parquet", 0)


def test_without_keys_there_is_no_such_column(pool, tmp_path):
    del pool["key"]
    log = SelectionLog(tmp_path / "log.parquet")
    make_model().fit(pool, batch_size=12, verbose=0, callbacks=[log])
    table = parquet.read_table(tmp_path / "log.parquet")
    assert table.column_names == ["step", "row", "score", "seen_score"]


def test_a_model_that_selects_nothing_is_an_error(pool, tmp_path):
    log = SelectionLog(tmp_path / "log.parquet")
    with pytest.raises(ValueError, match="selects no rows"):
        make_model().fit(
            pool, selection=None, batch_size=12, verbose=0, callbacks=[log]
        )


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="torch makes single steps only"
)
def test_hidden_steps_are_an_error(pool, tmp_path):
    model = make_model(steps_per_execution=2)
    log = SelectionLog(tmp_path / "log.parquet")
    with pytest.raises(ValueError, match="steps_per_execution=2"):
        model.fit(pool, batch_size=12, verbose=0, callbacks=[log])


def test_the_file_holds_the_settings_of_the_run(pool, tmp_path):
    model = make_model(first_step=1, score_loss=SigmoidContrastiveLoss())
    path = tmp_path / "log.parquet"
    model.fit(pool, batch_size=12, verbose=0)
    policy = IndependentSelection(0.25, gain=float("inf"))
    model.fit(
        pool,
        batch_size=12,
        verbose=0,
        selection=policy,
        callbacks=[SelectionLog(path)],
    )
    settings = recorded_settings(path)
    assert settings["selection"]["config"] == policy.get_config()
    assert settings["model"] == "JESTModel"
    assert settings["score_loss"]["class_name"] == "SigmoidContrastiveLoss"
    assert settings["first_step"] == 1
    assert settings["first_draw"] == 3
    assert settings["seed"] == settings["score_delay"] == 0
    assert settings["backend"] == keras.backend.backend()


def test_a_file_without_settings(tmp_path):
    table = pytest.importorskip("pyarrow").table({"key": ["00"]})
    parquet.write_table(table, tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"other\.parquet"):
        recorded_settings(tmp_path / "other.parquet")
