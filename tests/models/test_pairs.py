import keras
import numpy as np
import numpy_transformer
import pytest
from check_layer import to_numpy
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_jest.models import make_pairs


@settings(max_examples=12, deadline=None)
@given(
    n=st.sampled_from([1, 5]),
    d=st.sampled_from([1, 7]),
    magnitude=st.sampled_from([1e-3, 1.0, 1e6]),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    seed=st.integers(0, 99),
)
def test_equals_numpy(n, d, magnitude, dtype, seed):
    random = np.random.default_rng(seed)
    if dtype == "float16":
        magnitude = min(magnitude, 1e3)
    images, texts = (magnitude * random.normal(size=(2, n, d))).astype(dtype)
    pairs = make_pairs(images, texts, 7.0, -3.0)
    assert {str(to_numpy(v).dtype) for v in pairs.values()} == {"float32"}
    for name, raw in (("image", images), ("text", texts)):
        np.testing.assert_allclose(
            to_numpy(pairs[f"{name}_embedding"]),
            numpy_transformer.unit_rows(raw.astype("float64")),
            atol=1e-6,
        )
    np.testing.assert_array_equal(to_numpy(pairs["logit_scale"]), [7.0] * n)
    np.testing.assert_array_equal(to_numpy(pairs["logit_bias"]), [-3.0] * n)


def test_rows_of_zeros_stay_zero_and_others_are_untouched():
    rows = np.array([[0, 0], [3, 4], [np.nan, 1], [np.inf, 1]], "float32")
    pairs = to_numpy(make_pairs(rows, rows, 1.0, 0.0))
    for name in ("image_embedding", "text_embedding"):
        unit = pairs[name]
        np.testing.assert_array_equal(unit[0], [0, 0])
        np.testing.assert_allclose(unit[1], [0.6, 0.8], rtol=1e-6)
        # The trainer counts rows that are not finite: they must stay so.
        assert not np.isfinite(unit[2:]).all(axis=1).any()
    assert np.isfinite(pairs["logit_scale"]).all()


@pytest.mark.parametrize("start", [0.0, 1e-30])
def test_gradient_of_rows_of_zeros_is_finite(start):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(
                4, kernel_initializer=keras.initializers.Constant(start)
            )

        def call(self, x):
            pairs = make_pairs(self.dense(x), self.dense(x), 1.0, 0.0)
            return pairs["image_embedding"]

    model = Model()
    model.compile(keras.optimizers.SGD(1e-9), loss="mse")
    x = np.ones((3, 2), "float32")
    model.fit(x, np.ones((3, 4), "float32"), verbose=0)
    for weight in model.get_weights():
        assert np.isfinite(weight).all()
