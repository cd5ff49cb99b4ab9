import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from keras import ops

from keras_jest.losses.strips import join_strips
from keras_jest.losses.strips import map_strips
from keras_jest.losses.strips import softplus
from keras_jest.losses.strips import strips

SIZES = {"num_rows": st.integers(1, 40), "strip": st.integers(1, 50)}


@hypothesis.given(**SIZES)
@hypothesis.settings(max_examples=15, deadline=None)
def test_join_undoes_strips(num_rows, strip):
    rows = np.arange(num_rows * 2, dtype="float32").reshape(num_rows, 2)
    cut = strips(ops.array(rows), strip)
    num_strips, rows_per_strip, width = cut.shape
    assert rows_per_strip <= strip
    assert num_strips == -(-num_rows // strip)
    assert width == 2
    joined = ops.convert_to_numpy(join_strips(cut, num_rows))
    np.testing.assert_array_equal(joined, rows)


def test_rows_on_several_devices_are_dealt_out_like_cards(monkeypatch):
    cut = ops.convert_to_numpy(strips(ops.arange(7), 3))
    np.testing.assert_array_equal(cut, [[0, 1, 2], [3, 4, 5], [6, 0, 0]])
    monkeypatch.setattr("keras_jest.losses.strips.is_spread", lambda: True)
    cut = ops.convert_to_numpy(strips(ops.arange(7), 3))
    np.testing.assert_array_equal(cut, [[0, 3, 6], [1, 4, 0], [2, 5, 0]])


@pytest.mark.parametrize("strip", [1, 4, 5, 10, 11])
def test_map_strips_is_the_function_of_all_rows(strip):
    rows = {
        "one": np.arange(10, dtype="float32"),
        "two": np.arange(20, dtype="float32").reshape(10, 2),
    }

    def function(rows):
        assert rows["one"].shape[0] <= strip
        return rows["one"] * 2, ops.sum(rows["two"], axis=1)

    arrays = {key: ops.array(rows[key]) for key in rows}
    doubled, sums = map_strips(function, arrays, strip)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(doubled), rows["one"] * 2
    )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(sums), rows["two"].sum(axis=1)
    )


def test_softplus_is_accurate_to_a_millionth_of_its_value():
    logits = np.linspace(-80, 80, 40_001).astype("float32")
    values = ops.convert_to_numpy(softplus(ops.array(logits)))
    expected = np.logaddexp(0, logits.astype("float64"))
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_softplus_of_infinity():
    values = softplus(ops.array([-np.inf, np.inf, np.nan], "float32"))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(values), [0.0, np.inf, np.nan]
    )
