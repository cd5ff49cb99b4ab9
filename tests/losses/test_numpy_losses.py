"""The slow formulas that judge the losses are judged by their identities."""

import numpy as np
import pytest
from numpy_losses import log_sum_exp
from numpy_losses import logits
from numpy_losses import rows_of
from numpy_losses import sigmoid_given
from numpy_losses import sigmoid_loss
from numpy_losses import sigmoid_terms
from numpy_losses import softmax_given
from numpy_losses import softmax_loss
from random_pairs import random_pairs

PAIRS = random_pairs(12, bias=-3.0)


@pytest.mark.parametrize("chunk", [[7], [7, 2], [0, 3, 8, 11]])
def test_sigmoid_total_grows_by_given_losses_and_the_chunk_among_itself(chunk):
    chosen = [1, 4, 6]
    of_chunk = sigmoid_terms(rows_of(PAIRS, chunk))
    within_chunk = np.sum(of_chunk) - np.trace(of_chunk)
    before = np.sum(sigmoid_loss(rows_of(PAIRS, chosen)))
    after = np.sum(sigmoid_loss(rows_of(PAIRS, chosen + chunk)))
    growth = np.sum(sigmoid_given(PAIRS, chosen)[chunk]) + within_chunk
    np.testing.assert_allclose(after, before + growth, rtol=1e-12)


def test_exact_softmax_is_own_and_back():
    chosen = [1, 4, 6]
    z = logits(PAIRS)
    exact = softmax_given(PAIRS, chosen, "exact")
    for row in (0, 2, 9):
        both = [*chosen, row]
        own = (log_sum_exp(z[row, both]) + log_sum_exp(z[both, row])) / 2
        own = own - z[row, row]
        back = 0.0
        for old in chosen:
            as_image = z[old, row] - log_sum_exp(z[old, chosen])
            as_text = z[row, old] - log_sum_exp(z[chosen, old])
            back += np.log1p(np.exp(as_image)) / 2
            back += np.log1p(np.exp(as_text)) / 2
        np.testing.assert_allclose(exact[row], own + back, rtol=1e-12)


def test_softmax_loss_of_two_pairs_by_hand():
    pairs = {
        "image_embedding": np.eye(2),
        "text_embedding": np.eye(2),
        "logit_scale": np.full(2, 3.0),
        "logit_bias": np.zeros(2),
    }
    expected = np.log(1 + np.exp(-3.0))
    np.testing.assert_allclose(softmax_loss(pairs), expected, rtol=1e-12)
