import keras
import numpy as np
import pytest
from memory_policy import InTurns
from small_models import fit
from small_models import make_classifier
from small_models import make_dual_encoder
from small_models import make_labelled
from small_models import make_model
from small_models import make_pool
from small_models import make_towers
from small_models import weights_of

from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest import JointSelection
from keras_jest import UniformSelection
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder
from keras_jest.models import PrecomputedLosses


class ScalarLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return keras.ops.mean(y_pred)


class NoNeeds(keras.layers.Layer):
    def num_kept(self, num_rows):
        return 1

    def select(self, learner, reference, seed):
        return keras.ops.zeros((1,), "int32")


class TooFew(UniformSelection):
    def select(self, learner, reference, seed):
        return super().select(learner, reference, seed)[:3]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"loss": None}, r"loss=None"),
        ({"loss": "mse"}, r"loss='mse'"),
        ({"score_loss": "mse"}, r"score_loss='mse'"),
        ({"metrics": ["accuracy"]}, r"(?s)callback.*\['accuracy'\]"),
        ({"weighted_metrics": ["mse"]}, r"(?s)callback.*\['mse'\]"),
        ({"selection": "jiont"}, r"(?s)independent.*'jiont'"),
        ({"first_step": -1}, r"first_step=-1"),
        ({"first_step": 5, "last_step": 5}, r"last_step=5"),
        ({"first_step": 0.5}, r"first_step=0.5"),
        ({"last_step": 1.5}, r"last_step=1.5"),
        ({"scoring_batch_size": 0}, r"scoring_batch_size=0"),
        ({"scoring_batch_size": 2.5}, r"scoring_batch_size=2.5"),
        ({"loss_weights": [0.5]}, r"loss_weights=\[0.5\]"),
        ({"seed": 2**31}, r"seed=2147483648"),
        ({"seed": 0.5}, r"seed=0.5"),
        ({"selection": NoNeeds()}, r"lacks \['needs'\]"),
        ({"selection": InTurns()}, r"JESTModel\(\.\.\., policy=layer\)"),
    ],
)
def test_compile_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_model(**kwargs)


def test_a_policy_with_a_memory_is_not_scheduled():
    policy = InTurns()
    with pytest.raises(ValueError, match="must see them all"):
        make_model(policy=policy, selection=policy, first_step=1)


@pytest.mark.parametrize(
    "selection",
    [
        JointSelection(score="easy_reference"),
        pytest.param("joint", marks=pytest.mark.slow),
        pytest.param("independent", marks=pytest.mark.slow),
    ],
)
def test_no_reference(selection):
    model = JESTModel(make_dual_encoder())
    loss = SigmoidContrastiveLoss()
    with pytest.raises(ValueError, match=r"(?s)reference=None.*hard_learner"):
        model.compile(loss=loss, selection=selection)
    model.compile(loss=loss, selection="uniform")
    with pytest.raises(ValueError, match="reference=None"):
        fit(model, make_pool(), selection=selection)
    model.compile(loss=loss, selection=JointSelection(score="hard_learner"))


def test_learner_and_reference_are_the_same():
    learner = make_dual_encoder()
    with pytest.raises(ValueError, match="(?s)same object.*learner=reference"):
        JESTModel(learner, learner)


def test_learner_and_reference_share_a_tower():
    tower, texts = make_towers()
    _, other_texts = make_towers()
    learner, reference = (
        DualEncoder(tower, texts),
        DualEncoder(tower, other_texts),
    )
    with pytest.raises(ValueError, match="(?s)share variables.*kernel"):
        JESTModel(learner, reference)
    tower.trainable = False
    JESTModel(learner, reference)


def test_learner_and_reference_share_a_tower_that_is_not_built():
    tower = keras.Sequential([keras.layers.Dense(3, name="shared")])
    learner, reference = (
        DualEncoder(tower, make_towers()[1]) for _ in range(2)
    )
    with pytest.raises(ValueError, match="(?s)share variables.*shared"):
        JESTModel(learner, reference)


def test_fit_before_compile():
    model = JESTModel(make_dual_encoder(), make_dual_encoder(1.0))
    with pytest.raises(ValueError, match="compile"):
        fit(model, make_pool(), selection="joint")


@pytest.mark.parametrize(
    ("policy", "kwargs", "message"),
    [
        (UniformSelection, {"filter_ratio": 1.0}, "filter_ratio=1.0"),
        (JointSelection, {"filter_ratio": -0.1}, "filter_ratio=-0.1"),
        (IndependentSelection, {"sub_batch_size": 0}, "sub_batch_size=0"),
        (JointSelection, {"num_chunks": 0}, "num_chunks=0"),
        (JointSelection, {"num_chunks": 2.5}, "num_chunks=2.5"),
        (UniformSelection, {"sub_batch_size": 12.8}, "sub_batch_size=12.8"),
    ],
)
def test_policies_refuse(policy, kwargs, message):
    with pytest.raises(ValueError, match=message):
        policy(**kwargs)


def check_that_nothing_is_trained(model, message, *data, **kwargs):
    before = weights_of(model)
    with pytest.raises(ValueError, match=message):
        fit(model, *data, **kwargs)
    for old, new in zip(before, weights_of(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_first_super_batch_that_is_too_small():
    model = make_model(selection=UniformSelection(sub_batch_size=30))
    message = "sub_batch_size=30, super-batch=20"
    check_that_nothing_is_trained(model, message, make_pool())
    # It is not forgotten by a second try.
    check_that_nothing_is_trained(model, message, make_pool())


def test_outputs_that_are_no_pairs():
    x, y, _ = make_labelled()
    model = make_model(make_classifier(), make_classifier(1.0))
    check_that_nothing_is_trained(model, "DualEncoder", x)


def test_a_loss_that_is_a_scalar():
    x, y, _ = make_labelled()
    model = make_model(
        make_classifier(), make_classifier(1.0), loss=ScalarLoss()
    )
    check_that_nothing_is_trained(model, "one value per example", x, y=y)


@pytest.mark.parametrize("last_step", [None, 9])
def test_a_policy_that_returns_another_number_than_it_says(last_step):
    policy = TooFew(sub_batch_size=5)
    model = make_model(selection=policy, last_step=last_step)
    message = r"num_kept\(20\)` says, 5. Received: picks of shape \(3,\)"
    check_that_nothing_is_trained(model, message, make_pool())


def test_stored_losses_know_no_chosen_set():
    with pytest.raises(ValueError, match="keras_jest.models.precompute`"):
        make_model(reference=PrecomputedLosses(), selection="joint")
    make_model(reference=PrecomputedLosses(), selection="independent")
    make_model(
        reference=PrecomputedLosses(),
        selection=JointSelection(0.5, score="hard_learner"),
    )


def test_a_policy_with_a_score_of_its_own_kind():
    class ByHand(UniformSelection):
        needs = ("learner",)

        def __init__(self):
            super().__init__(sub_batch_size=5)
            del self.gain

        def score(self, anything):
            raise NotImplementedError

    fit(make_model(selection=ByHand()), make_pool(20))
