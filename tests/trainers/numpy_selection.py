"""Joint selection written once more: float64 NumPy, whole matrices."""

import numpy as np


def logits_of(images, token_ids, weights):
    """The (n, n) logits of a `make_dual_encoder`, from its weights."""
    log_scale, logit_bias, kernel, bias, embedding = weights
    image = unit(images.astype("float64") @ kernel + bias)
    text = unit(embedding.astype("float64")[token_ids].mean(axis=1))
    return np.exp(np.float64(log_scale)) * image @ text.T + logit_bias


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def joint_picks(learner, reference, num_kept, num_chunks, seed, step, gain=1):
    """Picks from two (n, n) matrices of logits, chunk after chunk."""
    seed = mix(mix(np.uint32(seed)) + np.uint32(step))
    num_rows = len(learner)
    picks = []
    for number, places in enumerate(
        np.array_split(np.arange(num_kept), num_chunks)
    ):
        scores = sigmoid_losses(learner, picks)
        scores = gain * (scores - sigmoid_losses(reference, picks))
        scores += gumbel(mix(seed + np.uint32(number)), num_rows)
        scores[picks] = -np.inf
        picks.extend(np.argsort(-scores)[: len(places)].tolist())
    return picks


def sigmoid_losses(logits, picks):
    """Own term, and the terms with all that is chosen, both ways."""
    own = np.logaddexp(0, -np.diag(logits))
    against = np.logaddexp(0, logits)
    return own + against[:, picks].sum(1) + against[picks, :].sum(0)


def gumbel(seed, num_rows):
    bits = mix(seed + np.arange(num_rows, dtype="uint32"))
    uniform = ((bits >> np.uint32(9)) + 0.5) / 2**23
    return -np.log(-np.log(uniform))


def mix(bits):
    """The murmur3 finaliser in unsigned arithmetic."""
    with np.errstate(over="ignore"):
        bits = bits ^ (bits >> np.uint32(16))
        bits = bits * np.uint32(0x85EBCA6B)
        bits = bits ^ (bits >> np.uint32(13))
        bits = bits * np.uint32(0xC2B2AE35)
        return bits ^ (bits >> np.uint32(16))
