"""What a log keeps of whole super-batches, beside the picks."""

import pathlib
import sys

import keras
import numpy as np
import pytest

sys.path.append(str(pathlib.Path(__file__).parents[1] / "trainers"))

from small_models import cut
from small_models import make_dual_encoder
from small_models import make_model
from small_models import make_pool

from keras_jest import ClassAct
from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest import UniformSelection
from keras_jest.callbacks import SelectionLog
from keras_jest.callbacks.snapshot import MOST_ROWS
from keras_jest.callbacks.snapshot import take_snapshot
from keras_jest.data.record_key import keys_to_hex
from keras_jest.losses import SigmoidContrastiveLoss

parquet = pytest.importorskip("pyarrow.parquet")

POOL = make_pool(60)
# Logits of up to 20, and losses that are sums over 20 pairs, in float32 and
# in another order: 20 * 20 * 6e-8 is 2.4e-5.
ROUNDING = 1e-4
PARTS = ("super_batch", "sub_batch")


def make_run_model(**kwargs):
    kwargs = {"optimizer": keras.optimizers.SGD(0.05), **kwargs}
    return make_model(selection=IndependentSelection(0.5), **kwargs)


def fit(path, model=None, epochs=1, others=(), pool=POOL, **kwargs):
    model = model or make_run_model()
    log = SelectionLog(path, **kwargs)
    model.fit(
        pool,
        batch_size=20,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[log, *others],
    )
    return model


def read(path):
    """The lines of the picks and of the steps."""
    return [
        parquet.read_table(of).to_pylist() for of in (path, f"{path}.steps")
    ]


def logits_of(model, rows):
    """Of all pairs of rows, by their pairs and NumPy alone."""
    pairs = model.predict(rows, verbose=0)
    images, texts = pairs["image_embedding"], pairs["text_embedding"]
    return pairs["logit_scale"][0] * images @ texts.T + pairs["logit_bias"][0]


def test_a_line_per_step_tells_what_was_seen(tmp_path):
    """Before and after selection, with the weights that scored."""
    path = tmp_path / "log"
    model = make_run_model()
    batches = cut(POOL, 20)
    inputs = {of: batches[0][of] for of in ("images", "token_ids")}
    logits = [
        logits_of(of, inputs) for of in (make_dual_encoder(), model.reference)
    ]
    fit(path, model, keep_seen=True, snapshot_every=2)
    picks, steps = read(path)
    assert [of["step"] for of in steps] == [0, 1, 2]
    for step, batch in zip(steps, batches, strict=True):
        keys = "".join(keys_to_hex(batch["key"]))
        assert step["seen"].hex() == keys
    assert steps[1]["sub_batch_rows"] is steps[1]["super_batch_learner"] is None
    assert steps[0]["super_batch_rows"] == list(range(20))
    for step in steps[::2]:
        chosen = [of for of in picks if of["step"] == step["step"]]
        rows = [of["row"] for of in chosen]
        assert step["sub_batch_rows"] == rows
        assert_a_part(step, rows)
    assert_scores_as_picked(picks, steps[::2])
    for name, expected in zip(("learner", "reference"), logits, strict=True):
        found = np.reshape(steps[0][f"super_batch_{name}"], (20, 20))
        np.testing.assert_allclose(found, expected, atol=ROUNDING)


def assert_a_part(step, rows):
    """The sub-batch's pairs are among those of the whole super-batch."""
    for name in ("learner", "reference"):
        whole, part = (
            np.reshape(step[f"{of}_{name}"], (size, size))
            for of, size in zip(
                PARTS, map(len, (step["super_batch_rows"], rows)), strict=True
            )
        )
        np.testing.assert_allclose(
            part, whole[np.ix_(rows, rows)], atol=ROUNDING
        )


def assert_scores_as_picked(picks, steps):
    for step in steps:
        scores = [of["score"] for of in picks if of["step"] == step["step"]]
        # The step's program and a snapshot's differ in the order of sums.
        np.testing.assert_allclose(
            step["sub_batch_scores"], scores, atol=ROUNDING
        )


@pytest.mark.parametrize("score", ["easy_reference", "hard_learner"])
def test_a_snapshot_scores_as_the_log(score, tmp_path):
    """Of a policy that reads one model, too: a mean may hold both."""
    model = make_run_model()
    model.compile(
        keras.optimizers.SGD(0.05),
        loss=SigmoidContrastiveLoss(),
        selection=IndependentSelection(0.5, score=score),
    )
    fit(tmp_path / "log", model, snapshot_every=1)
    assert_scores_as_picked(*read(tmp_path / "log"))


def test_a_snapshot_of_a_run_that_scores_nothing(tmp_path):
    model = make_run_model()
    model.compile(
        keras.optimizers.SGD(0.05),
        loss=SigmoidContrastiveLoss(),
        selection=UniformSelection(0.5),
    )
    fit(tmp_path / "log", model, snapshot_every=1)
    picks, steps = read(tmp_path / "log")
    assert np.isnan([of["score"] for of in picks]).all()
    assert np.abs(steps[0]["super_batch_scores"]).min() > 0


@pytest.mark.once
def test_weights_of_one_step_ago(tmp_path):
    """A snapshot scores as the step does, also with those."""
    model = JESTModel(
        make_dual_encoder(), make_dual_encoder(1.0), seed=0, score_delay=1
    )
    model.compile(
        keras.optimizers.SGD(0.05),
        loss=SigmoidContrastiveLoss(),
        selection=IndependentSelection(0.5),
    )
    fit(tmp_path / "log", model, snapshot_every=1)
    assert_scores_as_picked(*read(tmp_path / "log"))


@pytest.mark.once
def test_what_is_kept_changes_nothing(tmp_path):
    """Neither the picks nor the weights, to the last bit."""
    values = []
    for name, kwargs in (
        ("plain", {}),
        ("more", {"keep_seen": True, "snapshot_every": 1}),
    ):
        model = fit(tmp_path / name, **kwargs)
        values.append([np.array(of).tolist() for of in model.get_weights()])
    assert values[0] == values[1]
    tables = [parquet.read_table(tmp_path / of) for of in ("plain", "more")]
    assert tables[0].equals(tables[1])
    assert not (tmp_path / "plain.steps").exists()


class StopAt(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


KEPT = {"keep_seen": True, "snapshot_every": 2}


@pytest.mark.once
@pytest.mark.parametrize("stop", [2, 4])
def test_a_run_that_was_stopped_goes_on(tmp_path, stop):
    """In the middle of an epoch and of the steps between two snapshots."""
    fit(tmp_path / "whole", epochs=2, **KEPT)
    path = tmp_path / "log"
    model = make_run_model()
    with pytest.raises(KeyboardInterrupt):
        fit(path, model, 2, [StopAt(stop)], steps_at_a_time=1, **KEPT)
    batches = [*cut(POOL, 20), *cut(POOL, 20)][stop:]
    log = SelectionLog(path, **KEPT)
    model.fit(
        ((batch,) for batch in batches),
        steps_per_epoch=len(batches),
        verbose=0,
        callbacks=[log],
    )
    assert parquet.read_table(path).equals(
        parquet.read_table(tmp_path / "whole")
    )
    assert_equal_steps(read(path)[1], read(tmp_path / "whole")[1])
    assert sorted(of.name for of in tmp_path.iterdir()) == [
        "log",
        "log.steps",
        "whole",
        "whole.steps",
    ]


def assert_equal_steps(steps, others):
    """Scores and logits but for the last digits."""
    for one, other in zip(steps, others, strict=True):
        for name, values in one.items():
            if values is None or name in ("step", "seen"):
                assert values == other[name]
            else:
                np.testing.assert_allclose(values, other[name], atol=ROUNDING)


@pytest.mark.once
def test_a_later_fit_without_the_log_is_not_watched(tmp_path):
    """Nor is one that follows a fit that failed."""
    model = make_run_model()
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "log", model, others=[StopAt(1)], **KEPT)
    before = (tmp_path / "log.steps.unfinished").read_bytes()
    model.fit(POOL, batch_size=20, verbose=0)
    assert (tmp_path / "log.steps.unfinished").read_bytes() == before


@pytest.mark.once
def test_many_rows_are_thinned_out():
    model, pool = make_run_model(), make_pool(600)
    values = [(of, of.value) for of in model.variables]
    shot = take_snapshot(model, values, pool, np.arange(600)[::-1])
    assert shot["learner"].shape == (MOST_ROWS, MOST_ROWS)
    assert len(set(shot["rows"])) == MOST_ROWS
    assert shot["rows"][0] == 599 and shot["rows"][-1] == 0
    assert set(np.diff(shot["rows"])) == {-2, -3}


def test_what_cannot_be_kept_is_an_error_before_the_first_step(tmp_path):
    path, without = tmp_path / "log", dict(POOL)
    del without["key"]
    model = make_run_model()
    weights = model.get_weights()
    with pytest.raises(ValueError, match="`keep_seen` keeps the keys"):
        fit(path, model, pool=without, keep_seen=True)
    for one, other in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    alone = make_run_model()
    alone.reference = None
    with pytest.raises(ValueError, match="there is no reference"):
        fit(path, alone, snapshot_every=1)
    with pytest.raises(ValueError, match="snapshot_every=0"):
        SelectionLog(path, snapshot_every=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.once
def test_a_classifier_has_no_pairs(tmp_path):
    def classifier():
        return keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])

    model = ClassAct(classifier(), reference=classifier())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss, selection=IndependentSelection(0.5))
    log = SelectionLog(tmp_path / "log", snapshot_every=1)
    with pytest.raises(ValueError, match="needs the pairs of the learner"):
        model.fit(
            POOL["images"],
            np.zeros(60, "int32"),
            batch_size=20,
            verbose=0,
            callbacks=[log],
        )
    assert not list(tmp_path.iterdir())
