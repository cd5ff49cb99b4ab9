import keras
import numpy as np
import pytest
from keras import ops
from numeric_gradients import numeric_gradients
from numpy_losses import sigmoid_given
from numpy_losses import sigmoid_loss
from on_backend import compiled
from on_backend import gradients
from random_pairs import random_pairs

from keras_jest.losses import SigmoidContrastiveLoss

NUM_PAIRS = 11
CHUNK_SIZES = [None, 1, 3, 4, 10, 50]
WEIGHTS = np.random.default_rng(5).normal(size=NUM_PAIRS)


def oracle_total(pairs):
    return np.sum(sigmoid_loss(pairs) * WEIGHTS)


def values_of(loss, pairs):
    return ops.convert_to_numpy(loss.call((), pairs))


def given_values(loss, pairs, *chunks):
    losses = loss.given(pairs)
    for picks in chunks:
        losses = losses.add(ops.array(picks, "int32"))
    return ops.convert_to_numpy(losses.values)


def weighted_loss(loss):
    """A scalar in which each pair's loss has a weight of its own."""
    weights = ops.array(WEIGHTS, "float32")
    return lambda pairs: ops.sum(loss.call((), pairs) * weights)


def compiled_values_and_gradients(loss, pairs):
    function = weighted_loss(loss)
    call = compiled(
        lambda arrays: (loss.call((), arrays), gradients(function, arrays))
    )
    values, found = call({key: ops.array(pairs[key]) for key in pairs})
    found = {key: ops.convert_to_numpy(found[key]) for key in pairs}
    return ops.convert_to_numpy(values), found


@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_values_and_gradients_equal_the_oracle(chunk_size):
    pairs = random_pairs(NUM_PAIRS, width=5, bias=-4.0)
    loss = SigmoidContrastiveLoss(chunk_size)
    values, found = compiled_values_and_gradients(loss, pairs)
    assert values.shape == (NUM_PAIRS,)
    np.testing.assert_allclose(values, sigmoid_loss(pairs), rtol=3e-5)
    expected = numeric_gradients(oracle_total, pairs)
    for key in pairs:
        largest = np.max(np.abs(expected[key]))
        np.testing.assert_allclose(
            found[key], expected[key], rtol=3e-5, atol=3e-5 * largest
        )


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX compiles every step"
)
def test_eager_gradients_of_chunks_equal_compiled_ones():
    pairs = random_pairs(NUM_PAIRS, width=5, bias=-4.0)
    loss = SigmoidContrastiveLoss(chunk_size=4)
    _, expected = compiled_values_and_gradients(loss, pairs)
    found = gradients(weighted_loss(loss), pairs)
    for key in pairs:
        np.testing.assert_allclose(
            ops.convert_to_numpy(found[key]),
            expected[key],
            rtol=1e-4,
            atol=1e-5,
        )


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_values_at_a_large_scale(chunk_size):
    pairs = random_pairs(NUM_PAIRS, scale=100.0)
    values = values_of(SigmoidContrastiveLoss(chunk_size), pairs)
    np.testing.assert_allclose(values, sigmoid_loss(pairs), rtol=3e-5)


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="JAX tells what it will allocate"
)
def test_memory_of_chunks_is_linear_and_of_the_plain_loss_quadratic():
    import jax

    def scratch(loss, num_pairs):
        pairs = random_pairs(num_pairs, width=8)
        function = jax.jit(jax.grad(lambda pairs: loss((), pairs)))
        analysis = function.lower(pairs).compile().memory_analysis()
        return analysis.temp_size_in_bytes

    plain, chunked = SigmoidContrastiveLoss(), SigmoidContrastiveLoss(256)
    assert scratch(plain, 8192) > 12 * scratch(plain, 2048)
    assert scratch(chunked, 8192) < 5 * scratch(chunked, 2048)
    assert scratch(chunked, 8192) < scratch(plain, 8192) / 8


def test_keras_takes_the_mean():
    pairs = random_pairs(NUM_PAIRS)
    expected = np.mean(sigmoid_loss(pairs))
    value = float(SigmoidContrastiveLoss()((), pairs))
    np.testing.assert_allclose(value, expected, rtol=3e-5)


@pytest.mark.parametrize("scale", [10.0, 100.0])
@pytest.mark.parametrize("chunks", [[], [[3, 0, 10]], [[3, 0], [7]]])
def test_given_equals_the_oracle(chunks, scale):
    pairs = random_pairs(NUM_PAIRS, scale=scale)
    chosen = sum(chunks, [])
    values = given_values(SigmoidContrastiveLoss(), pairs, *chunks)
    assert values.dtype == "float32"
    others = np.setdiff1d(np.arange(NUM_PAIRS), chosen)
    expected = sigmoid_given(pairs, chosen)
    np.testing.assert_allclose(values[others], expected[others], rtol=3e-5)


def test_given_over_several_strips_equals_the_oracle():
    pairs = random_pairs(4100)
    picks = np.array([4, 4099, 77, 2048])
    values = given_values(SigmoidContrastiveLoss(), pairs, picks)
    others = np.setdiff1d(np.arange(0, 4100, 59), picks)
    terms = np.array(
        [
            sigmoid_given(
                {key: pairs[key][[row, *picks]] for key in pairs},
                [1, 2, 3, 4],
            )[0]
            for row in others
        ]
    )
    np.testing.assert_allclose(values[others], terms, rtol=3e-5)


def test_add_leaves_the_first_set_alone():
    losses = SigmoidContrastiveLoss().given(random_pairs(5))
    before = ops.convert_to_numpy(losses.values).copy()
    assert losses.add(ops.array([1], "int32")) is not losses
    np.testing.assert_array_equal(ops.convert_to_numpy(losses.values), before)


def test_zero_rows_are_ordinary_rows():
    pairs = random_pairs(NUM_PAIRS)
    pairs["image_embedding"][2] = 0
    pairs["text_embedding"][5] = 0
    loss = SigmoidContrastiveLoss()
    np.testing.assert_allclose(
        values_of(loss, pairs), sigmoid_loss(pairs), rtol=3e-5
    )
    values = given_values(loss, pairs, [1, 2])
    expected = sigmoid_given(pairs, [1, 2])
    others = np.setdiff1d(np.arange(NUM_PAIRS), [1, 2])
    np.testing.assert_allclose(values[others], expected[others], rtol=3e-5)


@pytest.mark.parametrize("key", ["image_embedding", "text_embedding"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_nan_and_only_they(key, value):
    pairs = random_pairs(NUM_PAIRS)
    pairs[key][4, 2] = value
    bad = np.arange(NUM_PAIRS) == 4
    for chunks in ([], [[1, 8]]):
        values = given_values(SigmoidContrastiveLoss(), pairs, *chunks)
        np.testing.assert_array_equal(np.isnan(values), bad)
        assert np.all(np.isfinite(values[~bad]))


@pytest.mark.parametrize("bias", [-10.0, -12.93])
def test_bfloat16_products_are_near_float32_ones(bias):
    pairs = random_pairs(200, width=64, bias=bias, noise=3.0)
    picks = np.arange(0, 200, 2)
    loss = SigmoidContrastiveLoss(product_dtype="bfloat16")
    values = given_values(loss, pairs, picks)
    assert values.dtype == "float32"
    expected = given_values(SigmoidContrastiveLoss(), pairs, picks)
    np.testing.assert_allclose(values[1::2], expected[1::2], rtol=1e-2)


def test_own_terms_do_not_depend_on_the_product_dtype():
    pairs = random_pairs(NUM_PAIRS)
    loss = SigmoidContrastiveLoss(product_dtype="bfloat16")
    expected = given_values(SigmoidContrastiveLoss(), pairs)
    np.testing.assert_array_equal(given_values(loss, pairs), expected)


def test_config_round_trip():
    loss = SigmoidContrastiveLoss(
        chunk_size=4, product_dtype="bfloat16", reduction="sum", name="pairs"
    )
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, SigmoidContrastiveLoss)
    assert again.get_config() == loss.get_config()
    assert again.chunk_size == 4
    assert again.product_dtype == "bfloat16"


@pytest.mark.parametrize("chunk_size", [0, -3])
def test_chunk_size_below_one(chunk_size):
    with pytest.raises(ValueError, match=f"Received: chunk_size={chunk_size}"):
        SigmoidContrastiveLoss(chunk_size)


def test_unknown_product_dtype():
    with pytest.raises(ValueError, match="Received: product_dtype='float16'"):
        SigmoidContrastiveLoss(product_dtype="float16")
