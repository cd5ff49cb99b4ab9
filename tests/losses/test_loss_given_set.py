import dataclasses

import keras
import numpy as np
import pytest
from keras import ops
from random_pairs import random_pairs

from keras_jest.losses import LossGivenSet
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.losses import given

PROBABILITIES = np.array([[0.9, 0.1], [0.4, 0.6], [0.25, 0.75]], "float32")
LABELS = np.array([0, 0, 1])


def test_cross_entropy_of_each_example():
    loss = keras.losses.SparseCategoricalCrossentropy()
    losses = given(loss, PROBABILITIES, LABELS)
    expected = -np.log([0.9, 0.4, 0.75])
    values = ops.convert_to_numpy(losses.values)
    assert values.dtype == "float32"
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_what_was_chosen_does_not_change_the_loss_of_a_classifier():
    losses = LossGivenSet(ops.array([0.5, 2.0, 1.0]))
    assert losses.add(ops.array([1], "int32")) is losses


def test_a_set_cannot_be_changed():
    losses = LossGivenSet(ops.array([0.5, 2.0]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        losses.values = ops.array([1.0, 1.0])


def test_losses_are_computed_in_float32():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    logits = np.random.default_rng(0).normal(size=(50, 4)) * 5
    labels = np.arange(50) % 4
    rounded = ops.cast(ops.array(logits, "float32"), "bfloat16")
    values = given(loss, rounded, labels).values
    assert keras.backend.standardize_dtype(values.dtype) == "float32"
    exact = ops.convert_to_numpy(ops.cast(rounded, "float32")).astype("float64")
    expected = np.log(np.sum(np.exp(exact), axis=1))
    expected = expected - exact[np.arange(50), labels]
    np.testing.assert_allclose(
        ops.convert_to_numpy(values), expected, rtol=1e-5, atol=1e-5
    )


class PixelLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.square(y_true - y_pred)


class MeanLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.mean(ops.square(y_true - y_pred))


def test_a_loss_with_several_values_per_example_is_their_mean():
    rng = np.random.default_rng(0)
    target, output = rng.normal(size=(2, 5, 3, 2)).astype("float32")
    values = given(PixelLoss(), output, target).values
    np.testing.assert_allclose(
        ops.convert_to_numpy(values),
        np.mean((target - output) ** 2, axis=(1, 2)),
        rtol=1e-5,
    )


class OneHotLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.sum(-y_true * ops.log_softmax(y_pred), -1)


class OffLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.sum((1 - y_true) * y_pred, -1)


@pytest.mark.parametrize("dtype", ["uint8", "bool"])
@pytest.mark.parametrize("loss", [OneHotLoss, OffLoss])
def test_targets_of_any_dtype_are_cast_as_in_training(loss, dtype):
    logits = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    targets = np.eye(4)[[0, 1, 2, 3, 0, 1]].astype(dtype)
    expected = loss(reduction="none", dtype="float32")(targets, logits)
    # The same formula in float32: some ten roundings of 6e-8.
    np.testing.assert_allclose(
        ops.convert_to_numpy(
            given(loss(dtype="bfloat16"), logits, targets).values
        ),
        ops.convert_to_numpy(expected),
        rtol=1e-6,
    )


class TwoTargetsLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.sum((1 - y_true["off"]) * y_pred, -1) - y_true["less"]


def test_a_tree_of_targets_is_cast():
    off = np.array([[True, False, False], [False, True, True]])
    targets = {"off": off, "less": np.array([3, 200], "uint8")}
    output = np.array([[1, 2, 4], [8, 16, 32]], "float32")
    values = given(TwoTargetsLoss(), output, targets).values
    np.testing.assert_array_equal(ops.convert_to_numpy(values), [3, -192])


@pytest.mark.parametrize("dtype", [None, "bfloat16", "float16"])
def test_class_numbers_are_not_rounded(dtype):
    logits = np.random.default_rng(0).normal(size=(4, 5000)).astype("float32")
    labels = np.array([257, 1001, 4097, 4999])
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, dtype=dtype
    )
    exact = logits.astype("float64")
    expected = np.log(np.sum(np.exp(exact), axis=1))
    expected = expected - exact[np.arange(4), labels]
    # A sum of 5,000 in float32, and its logarithm: 13 roundings of 6e-8 if it
    # is taken by halves, 70 on average (the root of 5,000) if one by one.
    np.testing.assert_allclose(
        ops.convert_to_numpy(given(loss, logits, labels).values),
        expected,
        rtol=1e-5,
    )


def test_a_scalar_loss_cannot_rank():
    with pytest.raises(ValueError, match="one value per example"):
        given(MeanLoss(), PROBABILITIES, PROBABILITIES)


def test_a_contrastive_loss_is_asked_for_its_own():
    pairs = random_pairs(4)
    losses = given(SigmoidContrastiveLoss(), pairs)
    assert losses.add(ops.array([1], "int32")) is not losses


@pytest.mark.parametrize("pairs", [np.zeros((3, 3)), [1, 2], {"logits": 1}])
def test_outputs_that_are_not_pairs(pairs):
    with pytest.raises(ValueError, match="needs the pairs"):
        given(SigmoidContrastiveLoss(), pairs)


@pytest.mark.parametrize("key", ["logit_scale", "logit_bias"])
def test_a_bare_scalar_is_no_array_of_a_batch(key):
    pairs = random_pairs(4)
    pairs[key] = np.float32(1)
    with pytest.raises(ValueError, match=rf"Received: .*{key}=\(\)"):
        given(SigmoidContrastiveLoss(), pairs)


def test_half_precision_pairs_are_computed_in_float32():
    pairs = random_pairs(6)
    half = {key: ops.cast(pairs[key], "bfloat16") for key in pairs}
    rounded = {key: ops.cast(half[key], "float32") for key in pairs}
    loss = SigmoidContrastiveLoss()
    picks = ops.array([1, 3], "int32")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loss.given(half).add(picks).values),
        ops.convert_to_numpy(loss.given(rounded).add(picks).values),
    )
