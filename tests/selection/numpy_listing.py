"""Joint selection as the paper lists it: dense, in float64 NumPy."""

import numpy as np
from numpy_losses import logits
from numpy_losses import sigmoid_terms


def mix(bits):
    """The murmur3 finaliser in uint32."""
    bits = np.asarray(bits, "uint32")
    with np.errstate(over="ignore"):
        bits = (bits ^ (bits >> 16)) * np.uint32(0x85EBCA6B)
        bits = (bits ^ (bits >> 13)) * np.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)


def fold_in(seed, number):
    return (int(mix(int(seed) % 2**32)) + number) % 2**32


def gumbel_noise(seed, num_rows):
    rows = np.arange(num_rows, dtype="uint32")
    bits = mix(mix(int(seed) % 2**32) + rows)
    uniform = ((bits >> 9).astype("float64") + 0.5) / 2**23
    return -np.log(-np.log(uniform))


def sigmoid_score_matrix(learner, reference):
    return sigmoid_terms(learner) - sigmoid_terms(reference)


def sigmoid_scores(learner, reference, chosen):
    """Self-similarity, plus row and column sums over what was chosen."""
    matrix = sigmoid_score_matrix(learner, reference)
    indicator = np.zeros(len(matrix))
    indicator[chosen] = 1
    return np.diag(matrix) + matrix @ indicator + indicator @ matrix


def softmax_scores(learner, reference, chosen):
    """Denominators over the chosen alone, without the candidate's own."""
    return softmax_part(learner, chosen) - softmax_part(reference, chosen)


def softmax_part(pairs, chosen):
    z = logits(pairs)
    if not len(chosen):
        return -np.diag(z)
    over_texts = np.logaddexp.reduce(z[:, chosen], axis=1)
    over_images = np.logaddexp.reduce(z[chosen, :], axis=0)
    return (over_texts + over_images) / 2 - np.diag(z)


SCORES = {"sigmoid": sigmoid_scores, "softmax": softmax_scores}


def chunk_keys(loss, learner, reference, chosen, seed, number, gain=1.0):
    """Gain times score plus noise; minus infinity for the chosen."""
    keys = gain * SCORES[loss](learner, reference, chosen)
    keys = keys + gumbel_noise(fold_in(seed, number), len(keys))
    keys[chosen] = -np.inf
    return keys


def joint_selection(loss, learner, reference, sizes, seed, gain=1.0):
    """The picks, and the smallest step between neighbours in any order."""
    chosen, margins = [], []
    for number, size in enumerate(sizes):
        keys = chunk_keys(loss, learner, reference, chosen, seed, number, gain)
        order = np.argsort(-keys, kind="stable")
        margins.append(np.min(-np.diff(keys[order[: size + 1]])))
        chosen = [*chosen, *order[:size]]
    return np.array(chosen), min(margins)


def check_joint_picks(
    picks, loss, learner, reference, sizes, seed, gain=1.0, margin=1e-4
):
    """Every chunk holds the best rows in order, up to a margin in float32."""
    chosen = []
    for number, size in enumerate(sizes):
        chunk = list(picks[len(chosen) : len(chosen) + size])
        keys = chunk_keys(loss, learner, reference, chosen, seed, number, gain)
        best = np.sort(keys)[::-1][:size]
        np.testing.assert_allclose(keys[chunk], best, rtol=0, atol=margin)
        chosen = chosen + chunk
    assert len(picks) == len(set(chosen)) == sum(sizes)
