import keras
import numpy as np
import pytest
from keras import ops

from keras_jest import IndependentSelection
from keras_jest import JointSelection
from keras_jest import SelectionPolicy
from keras_jest import UniformSelection
from keras_jest.losses import LossGivenSet
from keras_jest.selection import easy_reference
from keras_jest.selection import hard_learner
from keras_jest.selection import learnability
from keras_jest.selection import policies
from keras_jest.selection import scores


@keras.saving.register_keras_serializable("tests")
def surprise(learner, reference):
    return ops.square(learner - reference)


@keras.saving.register_keras_serializable("tests")
class EveryOther(SelectionPolicy):
    needs = ()

    def select(self, learner, reference, seed):
        num_kept = self.num_kept(learner.values.shape[0])
        return 2 * ops.arange(num_kept, dtype="int32")


LEARNER = np.array([1.0, 9.0, 4.0, 6.0], "float32")
REFERENCE = np.array([8.0, 8.5, 1.0, 5.5], "float32")


def best_two(policy):
    losses = [LossGivenSet(ops.array(v)) for v in (LEARNER, REFERENCE)]
    picks = policy.select(*losses, ops.array(0, "int32"))
    return ops.convert_to_numpy(picks).tolist()


@pytest.mark.parametrize("kind", [JointSelection, IndependentSelection])
@pytest.mark.parametrize(
    "score, expected, needs",
    [
        ("learnability", [2, 1], ("learner", "reference")),
        ("hard_learner", [1, 3], ("learner",)),
        ("easy_reference", [2, 3], ("reference",)),
        (surprise, [0, 2], ("learner", "reference")),
    ],
)
def test_scores_by_name_and_by_function(kind, score, expected, needs):
    policy = kind(sub_batch_size=2, score=score, gain=float("inf"))
    assert best_two(policy) == expected
    assert tuple(policy.needs) == needs


def test_scores_are_functions_of_two_arrays():
    np.testing.assert_array_equal(
        ops.convert_to_numpy(learnability(LEARNER, REFERENCE)),
        LEARNER - REFERENCE,
    )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(easy_reference(LEARNER, REFERENCE)), -REFERENCE
    )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(hard_learner(LEARNER, REFERENCE)), LEARNER
    )


def test_uniform_selection_needs_no_model():
    assert UniformSelection().needs == ()


def test_a_policy_of_the_user():
    assert best_two(EveryOther(sub_batch_size=2)) == [0, 2]


def test_a_policy_must_define_select():
    with pytest.raises(NotImplementedError, match="must define `select`"):
        best_two(SelectionPolicy())


@pytest.mark.parametrize(
    "num_rows, filter_ratio, kept",
    [
        (163840, 0.8, 32768),
        (327680, 0.9, 32768),
        (65536, 0.5, 32768),
        (640, 0.8, 128),
        (1280, 0.9, 128),
        (7, 0.8, 1),
        (2, 0.99, 1),
        (1, 0.8, 1),
        (33, 0.0, 33),
        (13, 0.8, 3),
    ],
)
def test_num_kept_is_rounded(num_rows, filter_ratio, kept):
    assert SelectionPolicy(filter_ratio).num_kept(num_rows) == kept


def test_sub_batch_size_wins_over_filter_ratio():
    policy = SelectionPolicy(0.8, sub_batch_size=50)
    assert policy.num_kept(1000) == 50
    assert policy.num_kept(20) == 20


@pytest.mark.parametrize(
    "policy",
    [
        JointSelection(0.7, num_chunks=3, score="easy_reference", gain=2.0),
        JointSelection(sub_batch_size=9, gain=float("inf")),
        JointSelection(score=surprise),
        IndependentSelection(0.9, score="hard_learner"),
        UniformSelection(0.5),
        UniformSelection(sub_batch_size=4),
        EveryOther(0.25),
    ],
)
def test_config_round_trip(policy):
    config = keras.saving.serialize_keras_object(policy)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(policy)
    assert again.get_config() == policy.get_config()
    assert vars(again) == vars(policy)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"filter_ratio": 1.0}, "Received: filter_ratio=1.0"),
        ({"filter_ratio": -0.1}, "Received: filter_ratio=-0.1"),
        ({"filter_ratio": float("nan")}, "Received: filter_ratio=nan"),
        ({"sub_batch_size": 0}, "Received: sub_batch_size=0"),
        ({"sub_batch_size": -5}, "Received: sub_batch_size=-5"),
        ({"gain": -1.0}, "Received: gain=-1.0"),
        ({"gain": float("nan")}, "Received: gain=nan"),
        ({"score": "easy"}, "Received: score='easy'"),
    ],
)
@pytest.mark.parametrize("kind", [JointSelection, IndependentSelection])
def test_bad_arguments(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**arguments)


def test_scores_tell_what_they_need():
    assert scores.needs(learnability) == ("learner", "reference")
    assert scores.needs(surprise) == ("learner", "reference")


@pytest.mark.parametrize(
    "name, kind",
    [
        ("joint", JointSelection),
        ("independent", IndependentSelection),
        ("uniform", UniformSelection),
    ],
)
def test_policies_by_name(name, kind):
    assert type(policies.get(name)) is kind


def test_policies_themselves_and_none():
    policy = JointSelection()
    assert policies.get(policy) is policy
    assert policies.get(None) is None


@pytest.mark.parametrize("selection", ["jiont", {"joint": 1}, JointSelection])
def test_no_such_policy(selection):
    with pytest.raises(ValueError, match="Received: selection="):
        policies.get(selection)
