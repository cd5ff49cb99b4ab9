import keras
import numpy as np
import pytest
from small_models import fit
from small_models import make_dual_encoder
from small_models import make_model
from small_models import make_pool
from small_models import to_numpy
from small_models import weights_of

from keras_jest import UniformSelection
from keras_jest.models import Precomputed
from keras_jest.models.model_inputs import model_inputs

BATCH = {"aaa": 0, "images": 1, "token_ids": 2, "zzz": 3}


def functional(structure):
    images = keras.Input((6,), name="images")
    texts = keras.Input((6,), name="token_ids")
    outputs = keras.layers.Subtract()([images, texts])
    inputs = {
        "dict": {"token_ids": texts, "images": images},
        "list": [texts, images],
        "one": images,
    }[structure]
    return keras.Model(inputs, images + 1 if structure == "one" else outputs)


def test_models_get_what_they_name():
    own = {"images": 1, "token_ids": 2}
    assert model_inputs(functional("dict"), BATCH) == own
    assert model_inputs(functional("list"), BATCH) == [2, 1]
    assert model_inputs(functional("one"), BATCH) == 1
    assert model_inputs(make_dual_encoder(), BATCH) == own
    assert model_inputs(keras.layers.Dense(1), BATCH) == BATCH
    assert model_inputs(functional("one"), "an array") == "an array"


def test_missing_input():
    with pytest.raises(ValueError, match=r"(?s)learner .*\['token_ids'\].*aaa"):
        model_inputs(functional("dict"), {"aaa": 0, "images": 1}, "learner")


def test_extra_entries_are_not_misread():
    """Keras would feed `aaa` to `images` without a word."""
    pool = make_pool()
    first = functional_dual_encoder()
    expected = first.predict(only_inputs(pool), verbose=0)
    model = make_model(first)
    pool = {"aaa": pool["images"] * 0, **pool}
    for key, values in model.predict(pool, verbose=0).items():
        np.testing.assert_allclose(values, expected[key], rtol=1e-6)
    fit(model, pool)
    other = make_model(functional_dual_encoder())
    fit(other, {**only_inputs(pool), "zzz": pool["images"]})
    for one, two in zip(weights_of(model), weights_of(other), strict=True):
        np.testing.assert_array_equal(one, two)


def functional_dual_encoder():
    encoder = make_dual_encoder()
    inputs = {
        "images": keras.Input((6,), name="images"),
        "token_ids": keras.Input((3,), dtype="int32", name="token_ids"),
    }
    return keras.Model(inputs, encoder(inputs))


def only_inputs(pool):
    return {key: pool[key] for key in ("images", "token_ids")}


def with_reference(pool, reference):
    pairs = reference(only_inputs(pool))
    return pool | {
        f"reference_{side}_embedding": to_numpy(pairs[f"{side}_embedding"])
        for side in ("image", "text")
    }


def test_a_reference_with_inputs_of_its_own():
    """Only training needs them; evaluation and prediction do not."""
    pool = make_pool()
    frozen = make_dual_encoder(1.0)
    expected = make_model(reference=frozen)
    fit(expected, pool)

    model = make_model(reference=Precomputed(10.0, -10.0))
    model.predict(pool, verbose=0)
    model.evaluate(pool, verbose=0)
    fit(model, with_reference(pool, frozen), validation_data=(pool,))
    for one, two in zip(
        weights_of(model.learner), weights_of(expected.learner), strict=True
    ):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("missing", ["images", "reference_text_embedding"])
def test_a_batch_that_lacks_an_input_stops_before_the_first_step(missing):
    pool = with_reference(make_pool(), make_dual_encoder(1.0))
    del pool[missing]
    model = make_model(reference=Precomputed(10.0, -10.0))
    before = weights_of(model.learner)
    with pytest.raises(ValueError, match=rf"\['{missing}'\]"):
        fit(model, pool)
    for old, new in zip(before, weights_of(model.learner), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.slow
def test_a_reference_that_is_not_needed_needs_no_inputs():
    model = make_model(
        reference=Precomputed(10.0, -10.0), selection=UniformSelection()
    )
    fit(model, make_pool())
    assert int(model.draws) == 2
