import keras
import numpy as np
import pytest
from keras import ops
from numeric_gradients import numeric_gradients
from numpy_losses import softmax_given
from numpy_losses import softmax_loss
from on_backend import compiled
from on_backend import gradients
from random_pairs import random_pairs

from keras_jest.losses import SoftmaxContrastiveLoss

NUM_PAIRS = 11
WEIGHTS = np.random.default_rng(5).normal(size=NUM_PAIRS)


def oracle_total(pairs):
    return np.sum(softmax_loss(pairs) * WEIGHTS)


def given_values(loss, pairs, *chunks):
    losses = loss.given(pairs)
    for picks in chunks:
        losses = losses.add(ops.array(picks, "int32"))
    return ops.convert_to_numpy(losses.values)


@pytest.mark.parametrize("scale", [10.0, 100.0])
def test_values_equal_the_oracle(scale):
    pairs = random_pairs(NUM_PAIRS, scale=scale, bias=0.0, noise=3.0)
    values = SoftmaxContrastiveLoss().call((), pairs)
    expected = softmax_loss(pairs)
    # A loss of zero is a difference of logits as large as the scale.
    np.testing.assert_allclose(
        ops.convert_to_numpy(values), expected, rtol=3e-5, atol=3e-7 * scale
    )


def test_gradients_equal_the_oracle():
    pairs = random_pairs(NUM_PAIRS, width=5, bias=0.5, noise=3.0)
    weights = ops.array(WEIGHTS, "float32")
    loss = SoftmaxContrastiveLoss()

    def total(arrays):
        return ops.sum(loss.call((), arrays) * weights)

    arrays = {key: ops.array(pairs[key]) for key in pairs}
    found = dict(compiled(lambda arrays: gradients(total, arrays))(arrays))
    expected = numeric_gradients(oracle_total, pairs)
    # All rows repeat one bias, and nothing but the sum of theirs reaches it.
    found["logit_bias"] = ops.sum(found["logit_bias"])
    expected["logit_bias"] = np.sum(expected["logit_bias"])
    largest = max(np.max(np.abs(expected[key])) for key in expected)
    for key in pairs:
        np.testing.assert_allclose(
            ops.convert_to_numpy(found[key]),
            expected[key],
            rtol=3e-5,
            atol=3e-6 * largest,
        )


@pytest.mark.parametrize("form", ["paper", "exact"])
@pytest.mark.parametrize("scale", [10.0, 100.0])
@pytest.mark.parametrize("chunks", [[], [[3]], [[3, 0], [7]]])
def test_given_equals_the_oracle(chunks, scale, form):
    pairs = random_pairs(NUM_PAIRS, scale=scale, bias=0.0, noise=3.0)
    chosen = sum(chunks, [])
    values = given_values(SoftmaxContrastiveLoss(form), pairs, *chunks)
    assert values.dtype == "float32"
    others = np.setdiff1d(np.arange(NUM_PAIRS), chosen)
    expected = softmax_given(pairs, chosen, form)
    np.testing.assert_allclose(
        values[others], expected[others], rtol=3e-5, atol=3e-7 * scale
    )


def test_the_order_and_the_chunks_of_the_picks_do_not_matter():
    pairs = random_pairs(NUM_PAIRS)
    loss = SoftmaxContrastiveLoss()
    at_once = given_values(loss, pairs, [3, 0, 7])
    one_by_one = given_values(loss, pairs, [7], [3], [0])
    np.testing.assert_allclose(at_once, one_by_one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["paper", "exact"])
def test_a_bias_only_counts_while_nothing_is_chosen(form):
    pairs, biased = (random_pairs(NUM_PAIRS, bias=bias) for bias in (0.0, -4.0))
    loss = SoftmaxContrastiveLoss(form)
    # Twice a number below 16 is rounded to 24 bits, by at most 5e-7.
    np.testing.assert_allclose(
        given_values(loss, biased),
        given_values(loss, pairs) + 4.0,
        rtol=0,
        atol=1e-6,
    )
    np.testing.assert_array_equal(
        given_values(loss, biased, [3, 0]), given_values(loss, pairs, [3, 0])
    )


def test_given_over_several_strips_equals_the_oracle():
    pairs = random_pairs(4100, bias=0.0)
    picks = [4, 4099, 77, 2048]
    values = given_values(SoftmaxContrastiveLoss(), pairs, picks)
    some = np.setdiff1d(np.arange(0, 4100, 59), picks)
    rows = [*picks, *some]
    few = {key: pairs[key][rows] for key in pairs}
    expected = softmax_given(few, range(len(picks)), "paper")[len(picks) :]
    np.testing.assert_allclose(values[some], expected, rtol=3e-5, atol=3e-6)


@pytest.mark.parametrize("form", ["paper", "exact"])
@pytest.mark.parametrize("key", ["image_embedding", "text_embedding"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_nan_and_only_they(key, value, form):
    pairs = random_pairs(NUM_PAIRS)
    pairs[key][4, 2] = value
    bad = np.arange(NUM_PAIRS) == 4
    for chunks in ([], [[1, 8]]):
        values = given_values(SoftmaxContrastiveLoss(form), pairs, *chunks)
        np.testing.assert_array_equal(np.isnan(values), bad)
        assert np.all(np.isfinite(values[~bad]))


@pytest.mark.parametrize("form", ["paper", "exact"])
def test_zero_rows_are_ordinary_rows(form):
    pairs = random_pairs(NUM_PAIRS, bias=0.0)
    pairs["image_embedding"][2] = 0
    pairs["text_embedding"][5] = 0
    values = given_values(SoftmaxContrastiveLoss(form), pairs, [1, 7])
    expected = softmax_given(pairs, [1, 7], form)
    others = np.setdiff1d(np.arange(NUM_PAIRS), [1, 7])
    np.testing.assert_allclose(
        values[others], expected[others], rtol=3e-5, atol=3e-6
    )


def test_config_round_trip():
    loss = SoftmaxContrastiveLoss("exact", reduction="sum", name="pairs")
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, SoftmaxContrastiveLoss)
    assert again.get_config() == loss.get_config()
    assert again.form == "exact"


def test_unknown_form():
    with pytest.raises(ValueError, match="Received: form='other'"):
        SoftmaxContrastiveLoss("other")
