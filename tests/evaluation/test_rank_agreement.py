"""Spearman's correlation against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_jest.evaluation import rank_agreement

pytestmark = pytest.mark.once
SCORES = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=12
)


def ranks(values):
    """By counting: those below, and half of the other equal ones."""
    return [
        sum(other < of for other in values)
        + 0.5 * (sum(other == of for other in values) - 1)
        for of in values
    ]


@given(SCORES)
def test_it_is_the_correlation_of_ranks(pairs):
    scores, others = (np.array(of, "float64") for of in np.transpose(pairs))
    agreement = rank_agreement(scores, others)
    if len(set(scores)) == 1 or len(set(others)) == 1:
        assert np.isnan(agreement)
        return
    expected = np.corrcoef(ranks(scores), ranks(others))[0, 1]
    # Sums of at most twelve numbers of about ten, in float64.
    assert abs(agreement - expected) < 1e-12
    assert rank_agreement(np.exp(scores), others) == agreement


def test_rows_that_are_not_finite_are_left_out():
    scores = [1.0, np.nan, 2.0, np.inf, 3.0]
    assert rank_agreement(scores, [1.0, 5.0, 2.0, 0.0, 3.0]) == 1


@pytest.mark.parametrize("others", [[1.0], [[1.0, 2.0]]])
def test_other_lengths_are_refused(others):
    with pytest.raises(ValueError, match="two arrays of shape"):
        rank_agreement([1.0, 2.0], others)
