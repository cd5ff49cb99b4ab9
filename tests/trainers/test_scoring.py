import keras
import numpy as np
import pytest
from counted import Counted
from counted import RowsSeen
from small_models import Recorder
from small_models import assert_same_weights
from small_models import cut
from small_models import fit
from small_models import make_classifier
from small_models import make_dual_encoder
from small_models import make_labelled
from small_models import make_model
from small_models import make_pool
from small_models import take
from small_models import to_numpy

from keras_jest import IndependentSelection
from keras_jest import JointSelection
from keras_jest import UniformSelection
from keras_jest.trainers.device_layout import gather
from keras_jest.trainers.explained_errors import explained_errors

SLOW = pytest.mark.slow
LEARNER_AND_REFERENCE_PASSES = [
    (IndependentSelection(score="hard_learner"), 4, 0),
    (IndependentSelection(score="easy_reference"), 2, 2),
    pytest.param(None, 2, 0, marks=SLOW),
    pytest.param(UniformSelection(), 2, 0, marks=SLOW),
    pytest.param(IndependentSelection(), 4, 2, marks=SLOW),
    pytest.param(JointSelection(num_chunks=2), 4, 2, marks=SLOW),
]


@pytest.mark.parametrize(
    ("selection", "of_learner", "of_reference"), LEARNER_AND_REFERENCE_PASSES
)
def test_models_run_only_where_they_are_needed(
    selection, of_learner, of_reference
):
    learner, reference = Counted(), Counted()
    model = make_model(
        make_dual_encoder(0.0, [learner]),
        make_dual_encoder(1.0, [reference]),
        selection=selection,
    )
    learner.reset(), reference.reset()
    fit(model, make_pool())
    assert learner.count() == of_learner
    assert reference.count() == of_reference


@pytest.mark.parametrize("batch_size", [7, pytest.param(50, marks=SLOW)])
def test_scoring_batch_size_bounds_the_rows_seen_and_nothing_else(batch_size):
    rows = RowsSeen()
    model = make_model(
        make_dual_encoder(0.0, [rows]), scoring_batch_size=batch_size
    )
    model.predict(make_pool(2), verbose=0)
    rows.seen.clear()
    recorder = Recorder(model)
    fit(model, make_pool(43))
    other = make_model()
    other_recorder = Recorder(other)
    fit(other, make_pool(43))
    assert recorder.picks == other_recorder.picks
    assert_same_weights(model.learner, other.learner, rtol=1e-6, atol=1e-7)
    # The training pass sees sub-batches of 5 and of 3.
    assert max(rows.seen) == max(5, min(20, batch_size))


@pytest.mark.slow
def test_scoring_batch_size_of_labelled_data():
    x, y, _ = make_labelled()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    runs = []
    for batch_size in (None, 6):
        model = make_model(
            make_classifier(),
            make_classifier(1.0),
            loss=loss,
            scoring_batch_size=batch_size,
        )
        runs.append(Recorder(model))
        fit(model, x, y=y)
    assert runs[0].picks == runs[1].picks


def test_scoring_leaves_statistics_seeds_and_losses_alone():
    """Scoring the super-batch or not is the same for all but the picks."""
    pool = make_pool()

    def make(**kwargs):
        layers = [
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.Dropout(0.3, seed=1),
            keras.layers.ActivityRegularization(l2=0.01),
        ]
        learner = make_dual_encoder(0.0, layers, kernel_regularizer="l2")
        layers = [keras.layers.ActivityRegularization(l2=100.0)]
        reference = make_dual_encoder(1.0, layers, kernel_regularizer="l2")
        return make_model(learner, reference, **kwargs)

    model = make()
    recorder = Recorder(model)
    losses = [
        model.train_on_batch(batch, return_dict=True)["loss"]
        for batch in cut(pool, 20)
    ]
    plain = make(selection=None)
    for batch, picks, loss in zip(
        cut(pool, 20), recorder.picks, losses, strict=True
    ):
        expected = plain.train_on_batch(take(batch, picks))
        np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert_same_weights(model.learner, plain.learner, rtol=1e-6, atol=1e-6)
    for one, other in zip(
        model.learner.non_trainable_variables,
        plain.learner.non_trainable_variables,
        strict=True,
    ):
        np.testing.assert_allclose(
            to_numpy(one), to_numpy(other), rtol=1e-6, atol=1e-7
        )


def test_added_losses_of_an_unbuilt_reference_do_not_count():
    def make(factor):
        layers = [keras.layers.ActivityRegularization(l2=factor)]
        reference = make_dual_encoder(1.0, layers)
        unbuilt = type(reference).from_config(reference.get_config())
        assert not unbuilt.built
        return make_model(reference=unbuilt, selection=UniformSelection())

    pool = make_pool(20)
    losses = [fit(make(factor), pool)["loss"] for factor in (0.0, 100.0)]
    assert losses[0] == losses[1]


def test_score_loss_is_for_scoring_alone():
    class Ignorant(keras.losses.Loss):
        """Every example is as hard as its label says."""

        def call(self, y_true, y_pred):
            return keras.ops.cast(y_true, "float32") + 0.0 * y_pred[:, 0]

    x, _, _ = make_labelled(20)
    y = np.arange(20) % 3
    model = make_model(
        make_classifier(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        score_loss=Ignorant(),
        selection=IndependentSelection(
            sub_batch_size=6, score="hard_learner", gain=float("inf")
        ),
    )
    recorder = Recorder(model)
    loss = fit(model, x, y=y)["loss"][0]
    assert recorder.picks == [[2, 5, 8, 11, 14, 17]]
    plain = make_classifier()
    plain.compile(loss=model.loss)
    expected = plain.evaluate(x[2::3], y[2::3], verbose=0)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_sizes_are_explained_on_several_devices_alone():
    with pytest.raises(ValueError, match="^cannot evenly divide$"):
        with explained_errors():
            raise ValueError("cannot evenly divide")


def test_gather_keeps_the_structure_and_what_is_missing():
    rows = keras.ops.convert_to_tensor(np.arange(12).reshape(6, 2))
    picks = keras.ops.convert_to_tensor(np.array([4, 0], "int32"))
    x, y, sample_weight = gather(({"a": rows, "b": [rows]}, None, rows), picks)
    assert y is None
    for part in (x["a"], x["b"][0], sample_weight):
        np.testing.assert_array_equal(to_numpy(part), [[8, 9], [0, 1]])
