"""Pairs of random embeddings for tests and benchmarks."""

import numpy as np


def random_pairs(
    num_pairs, width=16, scale=10.0, bias=-10.0, noise=1.0, seed=0
):
    """Pairs whose texts are their images with some noise, as float32 arrays."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(num_pairs, width))
    texts = images + noise * rng.normal(size=(num_pairs, width))
    return {
        "image_embedding": unit_rows(images),
        "text_embedding": unit_rows(texts),
        "logit_scale": np.full(num_pairs, scale, "float32"),
        "logit_bias": np.full(num_pairs, bias, "float32"),
    }


def unit_rows(rows):
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / lengths).astype("float32")
