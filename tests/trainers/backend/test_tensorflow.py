import keras
import pytest
from small_models import Recorder
from small_models import assert_same_weights
from small_models import fit
from small_models import make_model
from small_models import make_pool

from keras_jest import JointSelection

if keras.backend.backend() != "tensorflow":
    pytest.skip("these are about TensorFlow", allow_module_level=True)

import tensorflow as tf


def test_xla_picks_the_same():
    runs = []
    for jit_compile in (True, False):
        model = make_model(
            selection=JointSelection(sub_batch_size=5, num_chunks=2),
            jit_compile=jit_compile,
        )
        assert model.jit_compile is jit_compile
        recorder = Recorder(model)
        fit(model, make_pool(20))
        runs.append((model, recorder))
    (one, first), (other, second) = runs
    assert first.picks == second.picks
    assert len(first.picks[0]) == 5
    assert_same_weights(one, other, rtol=1e-5, atol=1e-6)


def test_a_strategy_of_one_device_changes_nothing():
    model = make_model()
    fit(model, make_pool())
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        other = make_model()
    fit(other, make_pool())
    assert_same_weights(model, other, rtol=1e-6, atol=1e-7)
