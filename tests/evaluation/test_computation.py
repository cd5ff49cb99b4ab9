"""The ledger reproduces the ratios of the paper."""

import pytest

from keras_jest.evaluation import computation

pytestmark = pytest.mark.once

# Forward passes of vision transformers at 224 px, in GFLOPs.
TI, S, B, L = 1.25, 4.57, 17.5, 61.2
N = 1000


def ratio(learner, **kwargs):
    """Total computation over that of as many uniform steps."""
    plain = computation(learner, N)
    assert plain["total"] == plain["learner training"] == 3 * learner * N
    return computation(learner, N, 2 * N, **kwargs)["total"] / plain["total"]


@pytest.mark.parametrize(("scorer", "expected"), [(TI, 1.068), (S, 1.249)])
def test_small_models_for_a_large_one(scorer, expected):
    found = ratio(L, online=scorer, reference=scorer, num_reference=N)
    assert found == pytest.approx(expected, abs=5e-4)


def test_the_learner_scores():
    found = ratio(B, reference=TI, learner_scores=True, num_reference=N)
    assert 1 - found == pytest.approx(-0.786, abs=1e-3)


def test_the_bars_of_the_figure():
    """B chooses for L, which needs 0.69 of the steps."""
    steps = round(0.69 * N)
    terms = computation(
        L, steps, 2 * steps, online=B, reference=B, num_reference=N
    )
    shares = [value / (3 * L * N) for value in terms.values()]
    expected = [0.690, 0.132, 0.197, 0.132, 0.286, 1.437]
    assert shares == pytest.approx(expected, abs=2e-3)


def test_a_pool_that_the_reference_saw_once():
    stored = computation(B, N, 5 * N, reference=TI, num_stored=70)
    assert stored["reference scoring"] == 70 * TI
    assert stored["total"] == 3 * B * N + 70 * TI


def test_who_scores_at_another_cost():
    coarse = computation(B, N, 5 * N, learner_scores=True, scorer=0.28 * B)
    assert coarse["online scoring"] == 0.28 * B * 5 * N
    assert coarse["learner training"] == 3 * B * N
