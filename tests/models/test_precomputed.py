import keras
import numpy as np
import pytest
from check_layer import check_layer
from check_layer import make_with_policy
from check_layer import to_numpy

from keras_jest.models import Precomputed
from keras_jest.models import SigLIP
from keras_jest.models import precompute

NAMES = ("reference_image_embedding", "reference_text_embedding")


def embeddings(dtype="float32", n=5, d=4):
    random = np.random.default_rng(0)
    rows = random.normal(size=(2, n, d))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return dict(zip(NAMES, rows.astype(dtype), strict=True))


def pool(n=6):
    random = np.random.default_rng(0)
    return {
        "key": np.zeros((n, 4), "int32"),
        "images": random.integers(0, 256, (n, 8, 8, 3)).astype("uint8"),
        "token_ids": random.integers(0, 20, (n, 5)).astype("int32"),
    }


def reference(**kwargs):
    return SigLIP(
        8, 4, 20, 5, width=8, depth=1, num_heads=2, mlp_dim=12, **kwargs
    )


def test_contract(tmp_path):
    check_layer(lambda: Precomputed(99.7, -12.9), embeddings(), tmp_path)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "bfloat16"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_pairs_are_float32_and_exact(policy, dtype):
    model = make_with_policy(lambda: Precomputed(99.7, -12.9), policy)
    assert not model.weights
    batch = embeddings(dtype)
    pairs = model(batch)
    for values in pairs.values():
        assert keras.backend.standardize_dtype(values.dtype) == "float32"
    pairs = to_numpy(pairs)
    np.testing.assert_allclose(pairs["logit_scale"], 99.7, rtol=1e-6)
    np.testing.assert_allclose(pairs["logit_bias"], -12.9, rtol=1e-6)
    for name in NAMES:
        rows = batch[name].astype("float64")
        rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
        got = pairs[name.removeprefix("reference_")]
        np.testing.assert_allclose(got, rows, atol=2e-7)


def test_missing_embedding():
    batch = embeddings()
    del batch[NAMES[1]]
    with pytest.raises(ValueError, match=NAMES[1]):
        Precomputed(1.0)(batch)


def test_other_names():
    model = Precomputed(1.0, input_keys=["a", "b"])
    rows = embeddings()
    pairs = model({"b": rows[NAMES[1]], "a": rows[NAMES[0]]})
    np.testing.assert_allclose(
        to_numpy(pairs["text_embedding"]), rows[NAMES[1]], atol=1e-6
    )
    assert Precomputed.from_config(model.get_config()).input_keys == ("a", "b")


@pytest.mark.parametrize(
    "dtype, tolerance, logit_bias",
    [("float16", 1e-3, -9.3), ("float32", 1e-6, None)],
)
def test_precompute_says_what_the_reference_says(dtype, tolerance, logit_bias):
    live = reference(logit_scale=12.3, logit_bias=logit_bias)
    examples = pool()
    arrays, precomputed = precompute(
        live, examples, batch_size=4, dtype=dtype, verbose=0
    )
    assert set(arrays) == set(NAMES)
    assert all(str(rows.dtype) == dtype for rows in arrays.values())
    expected = to_numpy(live(examples, training=False))
    got = to_numpy(precomputed({**examples, **arrays}))
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], atol=tolerance)


def test_precompute_over_a_dataset_of_batches():
    live = reference()
    examples = pool()

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            rows = slice(2 * index, 2 * index + 2)
            return ({name: a[rows] for name, a in examples.items()},)

    arrays, _ = precompute(live, examples, dtype="float32", verbose=0)
    streamed, _ = precompute(live, Batches(), dtype="float32", verbose=0)
    for name in NAMES:
        np.testing.assert_allclose(streamed[name], arrays[name], atol=1e-6)
