import keras
import pytest
from memory_policy import InTurns
from small_models import Recorder
from small_models import assert_same_weights
from small_models import fit
from small_models import make_dual_encoder
from small_models import make_model
from small_models import make_pool
from small_models import to_numpy

from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest import JointSelection
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.losses import SoftmaxContrastiveLoss


@keras.saving.register_keras_serializable("test")
def squared(learner, reference):
    return keras.ops.square(keras.ops.subtract(learner, reference))


def make_trained():
    model = make_model(
        make_dual_encoder(0.0, [keras.layers.BatchNormalization()]),
        optimizer=keras.optimizers.AdamW(0.01),
        selection=IndependentSelection(0.7, score=squared, gain=2.0),
        first_step=1,
        last_step=5,
    )
    fit(model, make_pool(60))
    return model


def test_a_saved_model_goes_on_as_if_nothing_had_happened(tmp_path):
    model = make_trained()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.draws) == int(loaded.optimizer.iterations) == 3
    recorders = Recorder(model), Recorder(loaded)
    for each in (model, loaded):
        fit(each, make_pool(60, first=100))
    assert len(recorders[0].picks) == 3
    assert recorders[0].picks == recorders[1].picks
    assert_same_weights(model, loaded)
    for one, other in (
        (model.non_trainable_variables, loaded.non_trainable_variables),
        (model.optimizer.variables, loaded.optimizer.variables),
    ):
        assert [to_numpy(v).tolist() for v in one] == [
            to_numpy(v).tolist() for v in other
        ]


def test_configs():
    model = make_model(
        seed=11,
        selection=JointSelection(
            0.5, sub_batch_size=9, num_chunks=3, score=squared, gain=0.5
        ),
        loss=SoftmaxContrastiveLoss(form="exact"),
        score_loss=SigmoidContrastiveLoss(product_dtype="bfloat16"),
        first_step=2,
        last_step=7,
        scoring_batch_size=13,
        steps_per_execution=3,
        run_eagerly=True,
    )
    again = JESTModel.from_config(model.get_config())
    again.compile_from_config(model.get_compile_config())
    assert again.get_config().keys() == model.get_config().keys()
    assert again.get_compile_config() == model.get_compile_config()
    assert again.seed == 11
    assert again.selection.score is squared
    assert again.selection.get_config() == model.selection.get_config()
    assert again.loss.form == "exact"
    assert again.settings.score_loss.product_dtype == "bfloat16"
    assert (again.settings.first_step, again.settings.last_step) == (2, 7)
    assert again.settings.scoring_batch_size == 13
    assert again.steps_per_execution == 3
    assert again.run_eagerly
    # Not what it meant here: a file of torch is compiled elsewhere.
    assert again.get_compile_config()["jit_compile"] == "auto"
    assert not again.reference.trainable


@pytest.mark.parametrize("has_reference", [True, False])
def test_models_that_were_not_compiled(has_reference, tmp_path):
    reference = make_dual_encoder(1.0) if has_reference else None
    model = JESTModel(make_dual_encoder(), reference, name="one")
    model.predict(make_pool(4), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not loaded.compiled
    assert loaded.name == "one"
    assert (loaded.reference is None) == (not has_reference)
    assert_same_weights(model, loaded)


@pytest.mark.slow
@pytest.mark.parametrize("selection", [None, "uniform"])
def test_selections_without_scores(selection, tmp_path):
    model = make_model(selection=selection)
    fit(model, make_pool())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.selection) is type(model.selection)
    assert_same_weights(model, loaded)


def test_a_policy_with_a_memory(tmp_path):
    policy = InTurns()
    model = make_model(policy=policy, selection=policy)
    recorder = Recorder(model)
    fit(model, make_pool())
    fit(model, make_pool(20), selection=policy)
    rows = [list(range(first, first + 5)) for first in (0, 5, 10, 15)]
    assert recorder.picks == rows[:3]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.selection is loaded.policy
    assert int(loaded.policy.turn) == 3
    recorder = Recorder(loaded)
    fit(loaded, make_pool(20))
    assert recorder.picks == rows[3:]


@pytest.mark.slow
def test_mixed_precision(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make_model()
    finally:
        keras.config.set_dtype_policy("float32")
    fit(model, make_pool())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    tower = loaded.learner.image_encoder
    assert tower.layers[-1].compute_dtype == "bfloat16"
    assert_same_weights(model, loaded)


class Saved(keras.callbacks.Callback):
    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        self.model.save(self.path)


def test_a_checkpoint_made_under_an_override_keeps_what_was_compiled(tmp_path):
    model = make_model(selection=IndependentSelection(0.7))
    saved = Saved(tmp_path / "model.keras")
    fit(model, make_pool(), selection=None, callbacks=[saved])
    loaded = keras.saving.load_model(saved.path)
    assert loaded.selection.filter_ratio == 0.7
