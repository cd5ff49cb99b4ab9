"""A saved model goes on training as if it had not been saved."""

import pathlib
import warnings

import keras
import numpy as np
import pytest
from check_layer import fill_by_formula
from small_models import Recorder
from small_models import assert_same_weights
from small_models import fit
from small_models import make_classifier
from small_models import make_labelled
from small_models import make_model
from small_models import make_pool
from small_models import to_numpy

from keras_jest import ActiveCLIP
from keras_jest import ClassAct
from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest.layers import TransformerBlock
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import SigLIP

HALF = IndependentSelection(0.5)
FILES = pathlib.Path(__file__).parent / "files"


def pictures(n=12):
    random = np.random.default_rng(0)
    return {
        "images": random.integers(0, 256, (n, 8, 8, 3)).astype("uint8"),
        "token_ids": random.integers(0, 20, (n, 5)).astype("int32"),
    }


def make_siglip(width=8):
    model = SigLIP(
        image_size=8,
        patch_size=4,
        vocabulary_size=20,
        sequence_length=5,
        width=width,
        depth=1,
        num_heads=2,
        mlp_dim=12,
    )
    fill_by_formula(model)
    return model


def make_attentive_classifier():
    """Our block within a user's model."""
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Reshape((3, 2)),
            TransformerBlock(2, 4),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    fill_by_formula(model)
    return model


def change(block, dense):
    """Freeze, adapt and quantise what the users of a large model would."""
    block.attention.trainable = False
    block.mlp.hidden.enable_lora(2)
    block.attention_norm.gamma.trainable = False
    dense.quantize("int8")
    dense.enable_lora(2)


def jest_model():
    learner = make_siglip()
    change(learner.image_encoder.blocks[0], learner.text_encoder.head)
    model = JESTModel(learner, make_siglip(4), seed=3)
    loss = SigmoidContrastiveLoss()
    model.compile(keras.optimizers.Adam(0.01), loss=loss, selection=HALF)
    return model, (pictures(),)


def active_clip():
    learner, online = make_siglip(), make_siglip(4)
    for of in (learner, online):
        change(of.image_encoder.blocks[0], of.text_encoder.head)
    model = ActiveCLIP(learner, online, make_siglip(4), seed=3)
    model.compile(keras.optimizers.Adam(0.01))
    return model, (pictures(),)


def class_act():
    learner = make_attentive_classifier()
    change(learner.layers[1], learner.layers[-1])
    model = ClassAct(
        learner, make_classifier(1.0), make_classifier(2.0), seed=3
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss=loss)
    return model, make_labelled(12)[:2]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(jest_model, marks=pytest.mark.slow),
        pytest.param(active_clip, marks=pytest.mark.slow),
        class_act,
    ],
)
def test_with_all_that_was_done_to_layers(make, tmp_path):
    model, data = make()
    run = {"batch_size": 6, "shuffle": False, "verbose": 0}
    model.fit(*data, **run)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for name in ("trainable_variables", "non_trainable_variables"):
        shapes = [
            [variable.shape for variable in getattr(of, name)]
            for of in (model, loaded)
        ]
        assert shapes[0] == shapes[1]
    recorders = Recorder(model), Recorder(loaded)
    for each in (model, loaded):
        each.fit(*data, **run)
    assert recorders[0].picks == recorders[1].picks
    assert_same_weights(model, loaded)
    for one, other in zip(
        model.optimizer.variables, loaded.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))


def test_a_file_of_version_0_1_0(tmp_path):
    """Written on torch: Adam with a learning rate of 0, for three steps."""
    path = FILES / "jest_model_0.1.0_torch.keras"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Skipping variable loading")
        model = keras.saving.load_model(path)
    expected = make_siglip().get_weights()
    for weight, value in zip(
        model.learner.get_weights(), expected, strict=True
    ):
        # A formula of sines, whose last digit is the machine's.
        np.testing.assert_allclose(weight, value, rtol=1e-6)
    assert int(model.optimizer.iterations) == int(model.draws) == 3
    moments = model.optimizer.variables[2:]
    assert len(moments) == 2 * len(model.trainable_variables)
    assert sum(np.abs(to_numpy(v)).sum() for v in moments) > 0
    model.optimizer.learning_rate = 0.01
    # Such files say that it was not compiled on torch.
    model.jit_compile = keras.backend.backend() == "jax"
    model.fit(pictures(), batch_size=6, verbose=0)
    assert int(model.optimizer.iterations) == 5


def test_it_is_built_as_soon_as_its_parts_are(tmp_path):
    models = [make_model() for _ in range(2)]
    fit(models[0], make_pool())
    models[0].save_weights(tmp_path / "one.weights.h5")
    models[1].optimizer.build(models[1].trainable_variables)
    models[1].load_weights(tmp_path / "one.weights.h5")
    for model in models:
        fit(model, make_pool())
    assert_same_weights(*models)


def test_it_is_not_built_while_a_part_is_not():
    learner = keras.Sequential([keras.layers.Dense(3)])
    model = ClassAct(learner, make_classifier(), make_classifier(1.0))
    assert not model.built
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss)
    x, y, _ = make_labelled()
    model.fit(x, y, batch_size=20, verbose=0)
    assert model.built and learner.built


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def test_keras_backs_it_up_and_restores_it(tmp_path):
    models = [make_model(optimizer=keras.optimizers.Adam(0.01)) for _ in "123"]
    fit(models[0], make_pool(), epochs=2)

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    with pytest.raises(KeyboardInterrupt):
        callbacks = [backup(), Stop()]
        fit(models[1], make_pool(), epochs=2, callbacks=callbacks)
    fit(models[2], make_pool(), epochs=2, callbacks=[backup()])
    assert_same_weights(models[0], models[2])


def nested_score():
    def score(learner, reference):
        return keras.ops.subtract(learner, reference)

    return score


def test_a_score_without_a_name_trains_but_is_not_saved(tmp_path):
    policy = IndependentSelection(0.5, score=lambda learner, reference: learner)
    with pytest.warns(UserWarning, match="lambda"):
        model = make_model(selection=policy)
    fit(model, make_pool())
    with pytest.raises(ValueError, match="register_keras_serializable"):
        model.save(tmp_path / "model.keras")
    model.learner.save(tmp_path / "learner.keras")


def test_a_score_with_a_name_comes_back_as_a_custom_object(tmp_path):
    score = nested_score()
    model = make_model(selection=IndependentSelection(0.5, score=score))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(
        tmp_path / "model.keras", custom_objects={"score": score}
    )
    assert loaded.selection.score is score


class Tempered(IndependentSelection):
    """What a user writes who forgets the config."""

    def __init__(self, temperature=1.0, **kwargs):
        super().__init__(0.5, gain=1 / temperature, **kwargs)
        self.temperature = temperature


class Closed(IndependentSelection):
    def __init__(self):
        super().__init__(0.5)


class Margin(keras.losses.Loss):
    def __init__(self, margin):
        super().__init__()
        self.margin = margin

    def call(self, y_true, y_pred):
        return keras.ops.sum(y_pred["text_embedding"], axis=-1) - self.margin


@pytest.mark.parametrize(
    "argument, told",
    [
        ({"selection": Tempered(2.0)}, "selection.*temperature"),
        ({"selection": Closed()}, "selection.*constructor does not take"),
        ({"loss": Margin(0.5)}, "loss.*margin"),
    ],
)
def test_what_its_config_forgets_is_refused(argument, told, tmp_path):
    model = make_model(**argument)
    fit(model, make_pool(), selection=None)
    with pytest.raises(ValueError, match=told):
        model.save(tmp_path / "model.keras")


def test_lambdas_elsewhere_are_refused(tmp_path):
    optimizer = keras.optimizers.SGD(learning_rate=lambda: 0.1)
    model = make_model(optimizer=optimizer)
    with pytest.raises(ValueError, match="`optimizer` holds a lambda"):
        model.save(tmp_path / "model.keras")
