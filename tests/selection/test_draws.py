import itertools

import numpy as np
import pytest
from keras import ops
from numpy_listing import fold_in as numpy_fold_in
from numpy_listing import gumbel_noise as numpy_gumbel_noise
from numpy_listing import mix as numpy_mix
from on_backend import compiled

from keras_jest.selection.draws import draw
from keras_jest.selection.draws import fold_in
from keras_jest.selection.draws import gumbel_noise
from keras_jest.selection.draws import mark
from keras_jest.selection.draws import mix

SEEDS = [0, 1, 7, -1, 2**31 - 1, -(2**31), 123456789]


NUM_ROWS = 20_000
# Five standard deviations of the correlation of independent noise.
LARGEST = 5 / np.sqrt(NUM_ROWS)


def noise_of(seed, num_rows=NUM_ROWS):
    noise = gumbel_noise(ops.array(seed, "int32"), num_rows)
    return ops.convert_to_numpy(noise)


def as_uint32(array):
    return (
        np.asarray(ops.convert_to_numpy(array)).astype("int32").view("uint32")
    )


def unmixed(bits):
    """The number that `mix` turns into `bits`, by undoing its steps."""
    bits = undo_shift(bits, 16) * pow(0xC2B2AE35, -1, 2**32) % 2**32
    bits = undo_shift(bits, 13) * pow(0x85EBCA6B, -1, 2**32) % 2**32
    bits = undo_shift(bits, 16)
    return bits - 2**32 if bits >= 2**31 else bits


def undo_shift(bits, places):
    found = bits
    for _ in range(32 // places):
        found = bits ^ (found >> places)
    return found


def test_mix_is_the_finaliser_of_murmur3():
    numbers = [0, 1, 2**31 - 1, -(2**31), -1]
    mixed = as_uint32(mix(ops.array(numbers, "int32")))
    unsigned = np.array(numbers, "int64").astype("uint32")
    np.testing.assert_array_equal(mixed, numpy_mix(unsigned))
    known_answers = [0, 0x514E28B7, 0x81F16F39]
    assert mixed[[0, 1, 4]].tolist() == known_answers


def test_noise_is_that_of_numpy():
    noise = compiled(
        lambda seed: gumbel_noise(fold_in(fold_in(seed, 3), 2), 500)
    )
    for seed in SEEDS:
        folded = numpy_fold_in(numpy_fold_in(seed, 3), 2)
        np.testing.assert_allclose(
            ops.convert_to_numpy(noise(ops.array(seed, "int32"))),
            numpy_gumbel_noise(folded, 500),
            rtol=1e-5,
            atol=1e-5,
        )


@pytest.mark.parametrize("bits", [0, 2**32 - 1])
def test_extreme_bits_give_finite_noise(bits):
    seed = unmixed(unmixed(bits))
    mixed = mix(fold_in(ops.array(seed, "int32"), 0))
    assert as_uint32(mixed) == bits
    noise = noise_of(seed, 1)
    assert np.all(np.isfinite(noise))
    np.testing.assert_allclose(noise, numpy_gumbel_noise(seed, 1), rtol=1e-5)


def test_moments_of_the_noise():
    noise = noise_of(5, 100_000)
    assert abs(np.mean(noise) - np.euler_gamma) < 0.02
    assert abs(np.var(noise) - np.pi**2 / 6) < 0.05


def test_noise_does_not_repeat_between_chunks_steps_and_seeds():
    """Nor shifted by some rows, as it does if chunk and row are added."""
    noises = [
        noise_of(fold_in(fold_in(ops.array(number, "int32"), step), chunk))
        for number, step, chunk in itertools.product((1, 2), (0, 1), (0, 1))
    ]
    noises += [
        noise_of(fold_in(ops.array(number, "int32"), 0)) for number in (1, 2)
    ]
    noises = [(noise - noise.mean()) / noise.std() for noise in noises]
    for one, other in itertools.combinations(noises, 2):
        for shift in range(-3, 4):
            assert abs(np.mean(one * np.roll(other, shift))) < LARGEST
    for shift in range(1, 20):
        assert abs(np.mean(noises[0] * np.roll(noises[0], shift))) < LARGEST


def inclusion_probabilities(scores, size):
    """Of drawing row after row from the softmax of what is left."""
    weights = np.exp(scores)
    found = np.zeros(len(scores))
    for order in itertools.permutations(range(len(scores)), size):
        probability, left = 1.0, np.sum(weights)
        for row in order:
            probability *= weights[row] / left
            left -= weights[row]
        found[list(order)] += probability
    return found


def inclusion_frequencies(scores, gain, size, num_draws):
    scores = ops.array(scores, "float32")
    draws = compiled(
        lambda seeds: ops.map(
            lambda seed: draw(scores, gain, size, mix(seed)), seeds
        )
    )
    picks = ops.convert_to_numpy(draws(ops.arange(num_draws, dtype="int32")))
    return np.bincount(picks.ravel(), minlength=4) / num_draws


def test_the_law_of_the_draw():
    scores, gain = np.array([0.0, 1.0, -1.0, 0.5]), 1.5
    expected = inclusion_probabilities(gain * scores, size=2)
    found = inclusion_frequencies(scores, gain, size=2, num_draws=3000)
    np.testing.assert_allclose(found, expected, atol=0.04)


@pytest.mark.parametrize("scores, gain", [([0.0] * 4, 1.0), ([9, 0, -9, 3], 0)])
def test_without_scores_or_gain_the_draw_is_uniform(scores, gain):
    found = inclusion_frequencies(scores, gain, size=1, num_draws=1000)
    np.testing.assert_allclose(found, 0.25, atol=0.06)


def test_infinite_gain_is_top_k_with_ties_to_the_lower_row():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, size=300).astype("float32")
    scores[scores == 0] *= rng.choice([-1.0, 1.0], size=np.sum(scores == 0))
    picks = draw(ops.array(scores), float("inf"), 290, ops.array(3, "int32"))
    expected = np.argsort(-scores, kind="stable")[:290]
    np.testing.assert_array_equal(ops.convert_to_numpy(picks), expected)


@pytest.mark.parametrize("gain", [1.0, float("inf")])
def test_rows_that_are_not_finite_come_last(gain):
    scores = np.array([np.nan, 1, np.inf, -1e30, -np.inf, 2], "float32")
    seed = ops.array(3, "int32")
    picks = ops.convert_to_numpy(draw(ops.array(scores), gain, 6, seed))
    assert set(picks[:3]) == {1, 3, 5}
    assert set(picks) == set(range(6))


def test_drawn_rows_are_not_drawn_again():
    scores = ops.array([9.0, 8.0, np.nan, 7.0, -5.0])
    drawn = mark(ops.zeros((5,), "bool"), ops.array([0, 3], "int32"))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(drawn), [True, False, False, True, False]
    )
    seed = ops.array(3, "int32")
    picks = draw(scores, float("inf"), 3, seed, drawn)
    np.testing.assert_array_equal(ops.convert_to_numpy(picks), [1, 4, 2])
