"""The contrastive losses by brute force, in float64 NumPy."""

import numpy as np


def logits(pairs):
    pairs = {key: np.asarray(pairs[key], "float64") for key in pairs}
    products = pairs["image_embedding"] @ pairs["text_embedding"].T
    scale = pairs["logit_scale"][:, None]
    return scale * products + pairs["logit_bias"][:, None]


def log_sum_exp(values):
    largest = np.max(values)
    return largest + np.log(np.sum(np.exp(values - largest)))


def sigmoid_terms(pairs):
    """The loss of every combination of an image (row) and a text (column)."""
    signs = 1 - 2 * np.eye(len(pairs["logit_scale"]))
    return np.logaddexp(0, signs * logits(pairs))


def sigmoid_loss(pairs):
    return np.sum(sigmoid_terms(pairs), axis=1)


def sigmoid_given(pairs, chosen):
    """Own term, and the terms with the chosen in both directions."""
    terms = sigmoid_terms(pairs)
    return np.array(
        [
            terms[row, row]
            + sum(terms[row, other] + terms[other, row] for other in chosen)
            for row in range(len(terms))
        ]
    )


def softmax_loss(pairs):
    """The mean of the two cross-entropies of each pair."""
    z = logits(pairs)
    return np.array(
        [
            (log_sum_exp(z[row]) + log_sum_exp(z[:, row])) / 2 - z[row, row]
            for row in range(len(z))
        ]
    )


def softmax_given(pairs, chosen, form):
    """The loss of each candidate: as the paper lists it, or the true change.

    The true change is taken literally, as the summed loss of the set with
    the candidate less that of the set without it.
    """
    z = logits(pairs)
    if not len(chosen):
        return -np.diag(z)
    if form == "paper":
        return np.array(
            [
                (log_sum_exp(z[row, chosen]) + log_sum_exp(z[chosen, row])) / 2
                - z[row, row]
                for row in range(len(z))
            ]
        )
    before = np.sum(softmax_loss(rows_of(pairs, chosen)))
    after = [
        np.sum(softmax_loss(rows_of(pairs, [*chosen, row])))
        for row in range(len(z))
    ]
    return np.array(after) - before


def rows_of(pairs, rows):
    return {key: np.asarray(pairs[key])[np.asarray(rows)] for key in pairs}
