import keras
import pytest
from small_models import Recorder
from small_models import assert_same_weights
from small_models import cut
from small_models import fit
from small_models import make_labelled
from small_models import make_model
from small_models import make_pool
from small_models import set_weights_by_formula
from small_models import take

from keras_jest import UniformSelection

if keras.backend.backend() != "torch":
    pytest.skip("these are about torch", allow_module_level=True)

import torch


def saved_bytes(model, batch):
    """What torch keeps for the backward pass of one step."""
    sizes = []

    def pack(tensor):
        sizes.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.train_on_batch(batch)
    return sum(sizes)


@pytest.mark.parametrize("kwargs", [{}, {"scoring_batch_size": 16}])
def test_no_graph_of_the_super_batch_is_kept(kwargs):
    batch = make_pool(40)
    model = make_model(**kwargs)
    recorder = Recorder(model)
    kept = saved_bytes(model, batch)
    plain = make_model(selection=None)
    assert kept == saved_bytes(plain, take(batch, recorder.picks[0]))
    assert kept < saved_bytes(make_model(selection=None), batch) / 4


def test_the_step_is_never_compiled_as_a_whole(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("torch.compile was called")

    monkeypatch.setattr(torch, "compile", refuse)
    model = make_model(jit_compile=True)
    fit(model, make_pool(43))
    other = make_model()
    for batch in cut(make_pool(43), 20):
        other.train_on_batch(batch)
    assert_same_weights(model, other)


def make_named_classifier(offset):
    """Variables of the same paths in every one of them."""
    inputs = keras.Input((6,), name="inputs")
    hidden = keras.layers.Dense(4, name="hidden")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="outputs")(hidden))
    set_weights_by_formula(model, offset)
    return model


def test_gradients_of_variables_of_equal_paths_do_not_add_up():
    x, y, _ = make_labelled()
    model = make_model(
        make_named_classifier(0.0),
        make_named_classifier(1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        optimizer=keras.optimizers.SGD(0.0),
        selection=UniformSelection(0.0),
    )
    gradients = []
    for _ in range(3):
        model.train_on_batch(x, y)
        variables = model.learner.trainable_variables
        gradients.append([v.value.grad.clone() for v in variables])
    for first, third in zip(gradients[0], gradients[2], strict=True):
        torch.testing.assert_close(first, third)
