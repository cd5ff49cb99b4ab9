import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from small_models import Recorder
from small_models import fit
from small_models import make_model
from small_models import make_pool
from small_models import to_numpy
from small_models import weights_of

from keras_jest import JointSelection
from keras_jest.trainers.finite_picks import replace_nonfinite


@settings(max_examples=25, deadline=None)
@given(finite=st.lists(st.booleans(), min_size=12, max_size=12), data=st.data())
def test_good_places_stay_and_others_repeat_good_ones(finite, data):
    size = data.draw(st.sampled_from([1, 4, 12]))
    picks = data.draw(st.permutations(range(12)))[:size]
    got, num_repeated = replace_nonfinite(
        keras.ops.convert_to_tensor(np.array(picks, "int32")),
        keras.ops.convert_to_tensor(np.array(finite)),
    )
    got, good = to_numpy(got), [pick for pick in picks if finite[pick]]
    assert int(num_repeated) == size - len(good)
    for old, new in zip(picks, got, strict=True):
        assert new == old if finite[old] else new in (good or picks)


def broken_pool(rows, value=np.nan, num_rows=40):
    pool = make_pool(num_rows)
    pool["images"][rows, 2] = value
    return pool


def test_rows_that_are_not_finite_are_counted_and_never_picked():
    model = make_model(selection=JointSelection(0.5, num_chunks=2))
    recorder = Recorder(model)
    broken = [0, 1, 2, 7, 19, 20, 33]
    for value in (np.nan, np.inf, -np.inf):
        logs = fit(model, broken_pool(broken, value))
        assert logs["nonfinite_rows"] == [7]
        assert all(np.isfinite(values[0]) for values in logs.values())
    assert len(recorder.steps) == 6
    for step in recorder.steps:
        assert not set(step["key"][:, 0]) & set(broken)
        assert len(set(step["picks"])) == 10
    assert all(np.isfinite(weight).all() for weight in weights_of(model))


def test_too_few_finite_rows_end_the_run():
    model = make_model()
    recorder = Recorder(model)
    with pytest.raises(ValueError, match="non-finite rows=17") as error:
        fit(model, broken_pool(slice(3, 20)), epochs=2)
    assert "2 places" in str(error.value)
    assert set(recorder.picks[0]) == {0, 1, 2}
    assert int(model.draws) == 2  # One epoch, and none after it.
    assert all(np.isfinite(weight).all() for weight in weights_of(model))


def test_nothing_hides_that_too_few_rows_were_finite():
    """Neither an evaluation, which resets the metrics, nor own callbacks."""
    model = make_model()
    pool = make_pool(20)
    evaluate = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: model.evaluate(pool, verbose=0)
    )
    for kwargs in (
        {"validation_data": (pool,)},
        {"callbacks": [evaluate]},
        {
            "callbacks": keras.callbacks.CallbackList(
                add_history=True, model=model
            )
        },
    ):
        with pytest.raises(ValueError, match="Too few rows were finite"):
            fit(model, broken_pool(slice(3, 20)), **kwargs)
    fit(model, pool)


def test_train_on_batch_raises_at_once():
    model = make_model()
    with pytest.raises(ValueError, match="Too few rows were finite"):
        model.train_on_batch(broken_pool(slice(4), num_rows=6))
    assert all(np.isfinite(weight).all() for weight in weights_of(model))
    model.train_on_batch(make_pool(6))
