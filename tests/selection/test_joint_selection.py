import json
import pathlib

import hypothesis
import keras
import numpy as np
import pytest
from dense_selection import dense_selection
from hypothesis import strategies as st
from keras import ops
from numpy_listing import check_joint_picks
from numpy_listing import joint_selection
from numpy_losses import sigmoid_loss
from on_backend import compiled
from on_backend import started_soon
from random_pairs import random_pairs

from keras_jest import IndependentSelection
from keras_jest import JointSelection
from keras_jest import UniformSelection
from keras_jest.losses import LossGivenSet
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.losses import SoftmaxContrastiveLoss

LOSSES = {
    "sigmoid": SigmoidContrastiveLoss(),
    "softmax": SoftmaxContrastiveLoss(),
}
STORED = pathlib.Path(__file__).with_name("stored_picks.json")
# JAX compiles each operation for each shape.
SIZES = [1, 3, 7, 16] if keras.backend.backend() == "jax" else range(1, 20)


def picks_of(policy, loss, learner, reference, seed, run=started_soon):
    def select(learner, reference, seed):
        losses = loss.given(learner), loss.given(reference)
        return policy.select(*losses, seed)

    picks = run(select)(
        tensors(learner), tensors(reference), ops.array(seed, "int32")
    )
    assert keras.backend.standardize_dtype(picks.dtype) == "int32"
    return ops.convert_to_numpy(picks)


def tensors(pairs):
    return {key: ops.array(pairs[key]) for key in pairs}


def learner_and_reference(num_rows, width=32):
    """A reference that explains its pairs better than the learner does."""
    learner = random_pairs(num_rows, width, noise=3.0, seed=1)
    reference = random_pairs(num_rows, width, 20.0, -12.0, seed=1)
    return learner, reference


def formula_pairs(num_rows, width, scale, bias, phase):
    """Pairs that are the same for ever, whatever NumPy's generators do."""
    places = np.arange(num_rows * width).reshape(num_rows, width)
    images = np.sin(places * 1.7 + 0.1 * np.square(places % 97))
    texts = images + 0.9 * np.sin(places * 2.3 + phase)
    return {
        "image_embedding": unit_rows(images),
        "text_embedding": unit_rows(texts),
        "logit_scale": np.full(num_rows, scale, "float32"),
        "logit_bias": np.full(num_rows, bias, "float32"),
    }


def unit_rows(rows):
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / lengths).astype("float32")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("num_chunks", [1, 3, 4])
def test_picks_are_those_of_the_dense_listing(loss, num_chunks):
    learner, reference = learner_and_reference(150)
    policy = JointSelection(0.7, num_chunks=num_chunks)
    picks = picks_of(policy, LOSSES[loss], learner, reference, 11)
    sizes = policy.chunk_sizes(150)
    check_joint_picks(picks, loss, learner, reference, sizes, 11)


def test_gain_multiplies_the_scores_of_the_listing():
    learner, reference = learner_and_reference(60)
    policy = JointSelection(0.7, num_chunks=2, gain=0.25)
    picks = picks_of(policy, LOSSES["sigmoid"], learner, reference, 3)
    sizes = policy.chunk_sizes(60)
    check_joint_picks(picks, "sigmoid", learner, reference, sizes, 3, gain=0.25)


def test_several_strips_pick_what_the_dense_listing_picks():
    learner, reference = learner_and_reference(2100, width=8)
    policy = JointSelection(sub_batch_size=60, num_chunks=2)
    picks = picks_of(policy, LOSSES["sigmoid"], learner, reference, 5)
    sizes = policy.chunk_sizes(2100)
    check_joint_picks(picks, "sigmoid", learner, reference, sizes, 5)


@pytest.mark.parametrize("loss", LOSSES)
def test_picks_are_the_stored_ones(loss):
    """One file of picks for every backend: they agree with each other."""
    stored = json.loads(STORED.read_text())[loss]
    learner = formula_pairs(96, 16, 10.0, -8.0, 0.0)
    reference = formula_pairs(96, 16, 14.0, -9.0, 1.0)
    policy = JointSelection(0.75, num_chunks=4)
    expected, margin = joint_selection(
        loss, learner, reference, policy.chunk_sizes(96), seed=2024
    )
    assert margin > 1e-4, "no backend may choose otherwise"
    np.testing.assert_array_equal(expected, stored)
    picks = picks_of(
        policy, LOSSES[loss], learner, reference, 2024, run=compiled
    )
    np.testing.assert_array_equal(picks, stored)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_dense_form_of_the_benchmark_picks_the_same(loss):
    learner, reference = learner_and_reference(150)
    policy = JointSelection(0.7, num_chunks=4)
    picks = started_soon(
        lambda learner, reference, seed: dense_selection(
            policy, loss, learner, reference, seed
        )
    )(tensors(learner), tensors(reference), ops.array(11, "int32"))
    picks = ops.convert_to_numpy(picks)
    sizes = policy.chunk_sizes(150)
    check_joint_picks(picks, loss, learner, reference, sizes, 11)


def test_one_chunk_is_independent_selection():
    learner, reference = learner_and_reference(40)
    joint = JointSelection(0.5, num_chunks=1)
    independent = IndependentSelection(0.5)
    np.testing.assert_array_equal(
        picks_of(joint, LOSSES["sigmoid"], learner, reference, 8),
        picks_of(independent, LOSSES["sigmoid"], learner, reference, 8),
    )


def test_joint_picks_are_more_learnable_together():
    """The sum over the set is what joint selection is for."""
    learner = random_pairs(300, 8, bias=-4.0, noise=3.0)
    reference = random_pairs(300, 8, bias=-4.0)
    loss, totals = LOSSES["sigmoid"], []
    for policy in JointSelection(num_chunks=8), IndependentSelection():
        picks = picks_of(policy, loss, learner, reference, 8)
        values = [
            sigmoid_loss({key: pairs[key][picks] for key in pairs})
            for pairs in (learner, reference)
        ]
        totals.append(np.sum(values[0] - values[1]))
    assert totals[0] > totals[1] + 50


def test_steps_that_are_counted_without_mixing_draw_afresh():
    """Chunk 1 of a seed must not meet the noise of chunk 0 of the next."""
    losses = LossGivenSet(ops.zeros((200,)))
    policy = JointSelection(0.8, num_chunks=4)
    first, second, again = (
        ops.convert_to_numpy(
            policy.select(losses, losses, ops.array(seed, "int32"))
        )
        for seed in (1, 2, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert len(set(first) & set(second)) < 20


VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 1e30, -1e30]),
    st.floats(-100, 100, width=32),
)


@st.composite
def select_arguments(draw):
    num_rows = draw(st.sampled_from(SIZES))
    values = st.lists(VALUES, min_size=num_rows, max_size=num_rows)
    policy = JointSelection(
        sub_batch_size=draw(st.sampled_from(SIZES)),
        num_chunks=draw(st.sampled_from(SIZES)),
        gain=draw(st.sampled_from([0.0, 1.0, float("inf")])),
    )
    seed = draw(st.integers(-(2**31), 2**31 - 1))
    return policy, draw(values), draw(values), seed


@hypothesis.given(select_arguments())
@hypothesis.settings(max_examples=40, deadline=None)
def test_the_count_is_exact_and_no_row_comes_twice(arguments):
    policy, learner, reference, seed = arguments
    picks = policy.select(
        LossGivenSet(ops.array(learner, "float32")),
        LossGivenSet(ops.array(reference, "float32")),
        ops.array(seed, "int32"),
    )
    picks = ops.convert_to_numpy(picks)
    assert len(picks) == min(len(learner), policy.sub_batch_size)
    assert len(set(picks)) == len(picks)
    assert set(picks) <= set(range(len(learner)))
    with np.errstate(invalid="ignore"):
        scores = np.subtract(learner, reference, dtype="float32")
    finite = np.isfinite(scores)
    count = min(np.sum(finite), len(picks))
    assert np.all(finite[picks[:count]]), "rows that are not finite come last"


def test_bad_rows_are_picked_last_and_spoil_no_others():
    learner, reference = learner_and_reference(40)
    learner["image_embedding"][:10] = np.nan
    policy = JointSelection(sub_batch_size=32, num_chunks=4)
    picks = picks_of(policy, LOSSES["sigmoid"], learner, reference, 0)
    assert set(picks[:30]) == set(range(10, 40))
    assert len(set(picks)) == 32


def test_zero_gain_draws_what_uniform_selection_draws():
    values = np.random.default_rng(0).normal(size=50).astype("float32") * 100
    learner = LossGivenSet(ops.array(values))
    reference = LossGivenSet(ops.zeros((50,)))
    picks = [
        ops.convert_to_numpy(policy.select(learner, reference, 9))
        for policy in (
            JointSelection(0.6, num_chunks=1, gain=0.0),
            UniformSelection(0.6),
        )
    ]
    np.testing.assert_array_equal(*picks)


def test_infinite_gain_takes_the_highest_scores():
    values = np.array([1, 5, 3, 5, np.nan, 2, 5, 0], "float32")
    learner = LossGivenSet(ops.array(values))
    reference = LossGivenSet(ops.zeros((8,)))
    for num_chunks in (1, 2, 5):
        policy = JointSelection(
            sub_batch_size=5, num_chunks=num_chunks, gain=float("inf")
        )
        picks = policy.select(learner, reference, ops.array(0, "int32"))
        np.testing.assert_array_equal(
            ops.convert_to_numpy(picks), [1, 3, 6, 2, 5]
        )


@pytest.mark.parametrize(
    "num_chunks, num_rows, sizes",
    [
        (4, 40, [2, 2, 2, 2]),
        (3, 40, [3, 3, 2]),
        (16, 15, [1, 1, 1]),
        (16, 163840, [2048] * 16),
        (1, 163840, [32768]),
    ],
)
def test_chunk_sizes(num_chunks, num_rows, sizes):
    policy = JointSelection(0.8, num_chunks=num_chunks)
    assert policy.chunk_sizes(num_rows) == sizes


@hypothesis.given(
    st.integers(1, 10_000), st.integers(1, 3000), st.integers(1, 500)
)
@hypothesis.settings(max_examples=200, deadline=None)
def test_chunks_add_up_and_differ_by_at_most_one(num_rows, size, num_chunks):
    policy = JointSelection(sub_batch_size=size, num_chunks=num_chunks)
    sizes = policy.chunk_sizes(num_rows)
    assert sum(sizes) == min(num_rows, size)
    assert len(sizes) == min(num_chunks, sum(sizes))
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("num_chunks", [0, -1])
def test_num_chunks_below_one(num_chunks):
    with pytest.raises(ValueError, match=f"Received: num_chunks={num_chunks}"):
        JointSelection(num_chunks=num_chunks)
