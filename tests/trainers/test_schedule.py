import keras
import numpy as np
import pytest
from counted import Counted
from small_models import Recorder
from small_models import fit
from small_models import make_dual_encoder
from small_models import make_model
from small_models import make_pool

from keras_jest import UniformSelection

SLOW = pytest.mark.slow


def run(**kwargs):
    """Six steps that learn nothing: what was picked, and what was scored."""
    learner, reference = Counted(), Counted()
    model = make_model(
        make_dual_encoder(0.0, [learner]),
        make_dual_encoder(1.0, [reference]),
        optimizer=keras.optimizers.SGD(0.0),
        **kwargs,
    )
    learner.reset(), reference.reset()
    recorder = Recorder(model)
    fit(model, make_pool(), epochs=3)
    return recorder.picks, learner.count() - 6, reference.count()


@pytest.fixture(scope="module")
def always():
    return run()[0]


@pytest.fixture(scope="module")
def uniform():
    return run(selection=UniformSelection(sub_batch_size=5))[0]


@pytest.mark.parametrize(
    ("first", "last"),
    [(1, 5), pytest.param(0, 2, marks=SLOW), pytest.param(2, None, marks=SLOW)],
)
def test_scores_count_from_first_step_to_before_last_step(
    first, last, always, uniform
):
    picks, of_learner, of_reference = run(first_step=first, last_step=last)
    scored = [first <= step < (last or 99) for step in range(6)]
    assert of_learner == of_reference == sum(scored)
    assert always != uniform
    for step, is_scored in enumerate(scored):
        assert picks[step] == (always if is_scored else uniform)[step]


@pytest.mark.slow
def test_the_schedule_goes_on_over_several_fits():
    model = make_model(last_step=3)
    is_scored = [
        fit(model, make_pool(20))["learnability"] != [0] for _ in range(4)
    ]
    assert is_scored == [True, True, True, False]


def still(**kwargs):
    return make_model(optimizer=keras.optimizers.SGD(0.0), **kwargs)


def test_steps_that_score_nothing_are_no_part_of_the_means():
    pool = make_pool(20)
    scored = fit(still(), pool)["learnability"]
    assert fit(still(first_step=1), pool)["learnability"] == [0]
    twice = {name: np.concatenate([rows, rows]) for name, rows in pool.items()}
    logs = fit(still(first_step=1), twice)
    np.testing.assert_allclose(logs["learnability"], scored, rtol=2e-6)
