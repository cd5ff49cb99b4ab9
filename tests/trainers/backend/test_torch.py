import keras
import pytest
from small_models import Recorder
from small_models import assert_same_weights
from small_models import cut
from small_models import fit
from small_models import make_model
from small_models import make_pool
from small_models import take

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
