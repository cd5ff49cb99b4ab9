import keras
import numpy as np
import pytest
from numpy_selection import joint_picks
from numpy_selection import logits_of
from numpy_selection import sigmoid_losses
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
from small_models import weights_of

from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest import JointSelection
from keras_jest import UniformSelection
from keras_jest.losses import SigmoidContrastiveLoss

SELECTION_LOGS = {"learnability", "kept_learnability", "nonfinite_rows"}

SLOW = pytest.mark.slow


class PlainContrastive(keras.Model):
    """What a user writes without this library; `train_step` is Keras' own."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def call(self, inputs):
        return self.encoder(inputs)

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        return SigmoidContrastiveLoss()((), y_pred)


def make_plain():
    plain = PlainContrastive(make_dual_encoder())
    plain.compile(keras.optimizers.SGD(0.1))
    return plain


@pytest.mark.parametrize("num_rows", [43, pytest.param(47, marks=SLOW)])
def test_only_the_picks_reach_the_optimizer(num_rows):
    """The run is a plain Keras run on the rows that NumPy picks.

    The last super-batch is whole, partial, or smaller than the sub-batch.
    """
    pool = make_pool(num_rows)
    policy = JointSelection(sub_batch_size=5, num_chunks=2)
    model = make_model(selection=policy)
    recorder = Recorder(model)
    fit(model, pool)

    plain = make_plain()
    reference = weights_of(make_dual_encoder(offset=1.0))
    batches = cut(pool, 20)
    for step, batch in enumerate(batches):
        inputs = batch["images"], batch["token_ids"]
        picks = joint_picks(
            logits_of(*inputs, weights_of(plain.encoder)),
            logits_of(*inputs, reference),
            num_kept=min(5, len(batch["key"])),
            num_chunks=2,
            seed=3,
            step=step,
        )
        assert recorder.picks[step] == picks
        keys = recorder.steps[step]["key"]
        np.testing.assert_array_equal(keys, batch["key"][picks])
        plain.train_on_batch(take(batch, picks))
    assert len(recorder.steps) == len(batches)
    assert_same_weights(model.learner, plain.encoder, rtol=1e-6, atol=1e-7)


# Made once on torch; the smallest margin at a boundary is over 1e-2.
STORED_PICKS = [
    [7, 14, 12, 13, 21, 1, 20, 10],
    [2, 26, 32, 39, 6, 19, 9, 22],
    [11, 19, 28, 4, 38, 25, 12, 34],
]


def test_stored_picks():
    model = make_model(selection=JointSelection(sub_batch_size=8, num_chunks=4))
    recorder = Recorder(model)
    fit(model, make_pool(80), batch_size=40)
    fit(model, make_pool(40), batch_size=40)
    assert recorder.picks == STORED_PICKS


@pytest.mark.parametrize("selection", [None, UniformSelection(0.0)])
def test_everything_kept_is_plain_keras(selection):
    plain = make_plain()
    fit(plain, make_pool())
    model = make_model(selection=selection)
    fit(model, make_pool())
    # Sums over 20 rows, in another order: 20 * 6e-8 in each of two steps.
    assert_same_weights(model.learner, plain.encoder, rtol=5e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("selection", [None, UniformSelection(0.0)])
def test_everything_kept_of_labelled_data_is_plain_keras(selection):
    x, y, sample_weight = make_labelled()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain = make_classifier()
    plain.compile(keras.optimizers.SGD(0.1), loss)
    expected = fit(plain, x, y=y, sample_weight=sample_weight)

    model = make_model(
        make_classifier(), make_classifier(1.0), loss=loss, selection=selection
    )
    got = fit(model, x, y=y, sample_weight=sample_weight)
    np.testing.assert_allclose(got["loss"], expected["loss"], rtol=1e-5)
    assert_same_weights(model.learner, plain, rtol=5e-6, atol=1e-6)


def test_reference_is_not_touched_to_the_last_bit():
    layers = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    reference = make_dual_encoder(1.0, layers)
    before = [to_numpy(variable) for variable in reference.variables]
    assert len(before) > len(make_dual_encoder().variables) + 4
    model = make_model(reference=reference)
    learner = weights_of(model.learner)
    fit(model, make_pool(), epochs=2)
    for old, variable in zip(before, reference.variables, strict=True):
        np.testing.assert_array_equal(to_numpy(variable), old)
    assert not reference.trainable_variables
    moved = zip(learner, weights_of(model.learner), strict=True)
    assert all(np.any(old != new) for old, new in moved)


def test_metrics_are_mean_scores_and_the_callbacks_see_nothing_else():
    pool = make_pool()
    model = make_model(optimizer=keras.optimizers.SGD(0.0))
    recorder = Recorder(model)
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(set(logs))
    )
    logs = fit(model, pool, callbacks=[watch])
    assert seen == [{"loss", *SELECTION_LOGS}] * 2
    assert set(logs) == {"loss", *SELECTION_LOGS}

    inputs = pool["images"], pool["token_ids"]
    learner, reference = (
        sigmoid_losses(logits_of(*inputs, weights_of(part)), [])
        for part in (model.learner, model.reference)
    )
    scores = learner - reference
    kept = np.concatenate([step["key"][:, 0] for step in recorder.steps])
    recorded = np.concatenate([step["scores"] for step in recorder.steps])
    np.testing.assert_allclose(recorded, scores[kept], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(logs["learnability"], scores.mean(), rtol=1e-4)
    np.testing.assert_allclose(
        logs["kept_learnability"], scores[kept].mean(), rtol=1e-4
    )
    assert logs["nonfinite_rows"] == [0]


def test_nothing_is_selected_outside_of_training():
    pool = make_pool()
    model = make_model()
    fit(model, take(pool, slice(20)))
    plain = PlainContrastive(model.learner)
    plain.compile()
    expected = plain.evaluate(pool, batch_size=20, verbose=0)

    logs = model.evaluate(pool, batch_size=20, verbose=0, return_dict=True)
    assert set(logs) == {"loss"}
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)
    logs = model.test_on_batch(take(pool, slice(20)), return_dict=True)
    assert set(logs) == {"loss"}
    pairs = model.predict(pool, batch_size=16, verbose=0)
    for key, values in model.learner.predict(pool, verbose=0).items():
        assert len(values) == 40
        np.testing.assert_allclose(pairs[key], values, rtol=1e-6)
    assert int(model.draws) == 1


def test_validation_logs_only_what_a_plain_run_logs():
    pool = make_pool(20)
    logs = fit(make_model(), pool, validation_data=(pool,))
    assert set(logs) == {"loss", "val_loss", *SELECTION_LOGS}
    logs = fit(make_model(selection=None), pool, validation_data=(pool,))
    assert set(logs) == {"loss", "val_loss"}


def test_one_fit_by_another_policy():
    pool = make_pool()
    model = make_model()
    recorder = Recorder(model)
    compiled = model.selection
    fit(model, pool)
    fit(model, pool, selection=UniformSelection(sub_batch_size=7))
    assert set(fit(model, pool, selection=None)) == {"loss"}
    with pytest.raises(ValueError, match="selection='jiont'"):
        fit(model, pool, selection="jiont")
    assert model.selection is compiled
    fit(model, pool)
    assert [len(picks) for picks in recorder.picks] == [5, 5, 7, 7, 5, 5]
    assert int(model.optimizer.iterations) == 8


def test_a_policy_for_one_fit_is_undone_after_an_error():
    def stop(epoch):
        raise KeyboardInterrupt

    model = make_model()
    compiled = model.selection
    callback = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: stop(epoch)
    )
    with pytest.raises(KeyboardInterrupt):
        fit(model, make_pool(), selection="uniform", callbacks=[callback])
    assert model.selection is compiled


def test_a_step_that_failed_and_lives_on_is_not_run_again():
    """A traceback that is kept keeps the compiled step with it."""
    model = make_model()
    with pytest.raises(KeyboardInterrupt) as kept:
        fit(
            model,
            make_pool(),
            selection=UniformSelection(sub_batch_size=7),
            callbacks=[Interrupt()],
        )
    recorder = Recorder(model)
    fit(model, make_pool())
    assert [len(picks) for picks in recorder.picks] == [5, 5]
    assert kept.traceback


def test_train_on_batch_takes_numpy():
    batches = cut(make_pool(), 20)
    model = make_model()
    model.train_on_batch(batches[0])
    logs = model.train_on_batch(batches[1], return_dict=True)
    assert set(logs) == {"loss", *SELECTION_LOGS}
    other = make_model()
    fit(other, make_pool())
    assert_same_weights(model, other)


@pytest.mark.slow
def test_seed():
    def picks(seed):
        model = make_model(seed=seed)
        recorder = Recorder(model)
        fit(model, make_pool(), epochs=2)
        return recorder.picks

    first = picks(1)
    assert first == picks(1)
    assert first != picks(2)
    assert first[:2] != first[2:]  # Every step draws anew.
    model = JESTModel(make_dual_encoder(), make_dual_encoder())
    assert JESTModel.from_config(model.get_config()).seed == model.seed


def test_run_eagerly():
    model = make_model(run_eagerly=True)
    recorder = Recorder(model)
    fit(model, make_pool(20))
    other = make_model()
    other_recorder = Recorder(other)
    fit(other, make_pool(20))
    assert recorder.picks == other_recorder.picks
    assert_same_weights(model, other, rtol=1e-5, atol=1e-6)


def test_steps_per_execution():
    model = make_model(steps_per_execution=2)
    if keras.backend.backend() == "torch":
        with pytest.raises(ValueError, match="steps_per_execution"):
            fit(model, make_pool())
        return
    fit(model, make_pool(103))  # Whole, whole; whole, whole; whole, partial.
    other = make_model()
    fit(other, make_pool(103))
    assert int(model.draws) == 6
    assert_same_weights(model, other)


def test_mixed_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make_model()
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.learner.image_encoder.layers[-1].compute_dtype == "bfloat16"
    recorder = Recorder(model)
    logs = fit(model, make_pool(43))
    assert [len(set(picks)) for picks in recorder.picks] == [5, 5, 3]
    assert all(step["scores"].dtype == "float32" for step in recorder.steps)
    assert all(np.isfinite(values[0]) for values in logs.values())
    assert {weight.dtype for weight in model.learner.weights} == {"float32"}
    pairs = model.predict(make_pool(3), verbose=0)
    assert {values.dtype.name for values in pairs.values()} == {"float32"}


def test_independent_selection_of_labelled_data():
    """Any loss with one value per example works, and weights and metrics."""
    x, y, sample_weight = make_labelled()
    model = make_model(
        make_classifier(),
        make_classifier(1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        selection=IndependentSelection(sub_batch_size=5, gain=float("inf")),
        weighted_metrics=["accuracy"],
    )
    recorder = Recorder(model)
    plain = make_classifier()
    plain.compile(
        keras.optimizers.SGD(0.1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    logs = fit(model, x, y=y, sample_weight=sample_weight)
    assert set(logs) == {"loss", "accuracy", *SELECTION_LOGS}
    for first, got in zip((0, 20), recorder.picks, strict=True):
        rows = slice(first, first + 20)
        scores = cross_entropies(plain, x[rows], y[rows])
        scores -= cross_entropies(model.reference, x[rows], y[rows])
        picks = np.argsort(-scores)[:5]
        assert got == picks.tolist()
        plain.train_on_batch(
            x[rows][picks], y[rows][picks], sample_weight[rows][picks]
        )
    assert_same_weights(model.learner, plain, rtol=1e-6, atol=1e-7)


def cross_entropies(model, x, y):
    kernel, bias = weights_of(model)
    logits = x.astype("float64") @ kernel + bias
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -logits[np.arange(len(y)), y]


def test_a_later_fit_may_end_with_a_smaller_super_batch():
    model = make_model()
    fit(model, make_pool(20))
    fit(model, make_pool(23))  # Its first step is not traced again.
    assert int(model.draws) == 3


@pytest.mark.slow
def test_unbuilt_models_are_built_before_the_first_step():
    from keras_jest.models import DualEncoder

    def encoder():
        return keras.Sequential([keras.layers.Dense(4)])

    pool = {"images": make_pool()["images"], "token_ids": make_pool()["images"]}
    for schedule in ({}, {"first_step": 1}):
        model = make_model(
            DualEncoder(encoder(), encoder()),
            DualEncoder(encoder(), encoder()),
            **schedule,
        )
        fit(model, pool)
        assert model.reference.built
        assert len(model.reference.weights) == 6


@pytest.mark.slow
def test_the_learner_is_taken_away(tmp_path):
    model = make_model()
    fit(model, make_pool())
    model.learner.save(tmp_path / "learner.keras")
    learner = keras.saving.load_model(tmp_path / "learner.keras")
    assert_same_weights(learner, model.learner)
    assert_same_weights(learner.image_encoder, model.learner.image_encoder)


def test_a_reference_that_was_thawed_is_frozen_again():
    model = make_model(optimizer=keras.optimizers.AdamW(0.1, weight_decay=0.5))
    before = weights_of(model.reference)
    model.trainable = False
    model.trainable = True
    fit(model, make_pool())
    assert not model.reference.trainable_variables
    model.trainable = True
    model.train_on_batch(make_pool(20))
    for old, new in zip(before, weights_of(model.reference), strict=True):
        np.testing.assert_array_equal(old, new)


class Interrupt(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.model.recorders = (self,)

    def __call__(self, chosen):
        raise KeyboardInterrupt


def test_an_interrupted_run_leaves_no_recorder_behind():
    model = make_model()
    with pytest.raises(KeyboardInterrupt):
        fit(model, make_pool(), callbacks=[Interrupt()])
    assert model.recorders == ()


class PlainPairsLoss(keras.losses.Loss):
    """A user's loss on pairs that knows no `given`."""

    def call(self, y_true, y_pred):
        images, texts = y_pred["image_embedding"], y_pred["text_embedding"]
        logits = keras.ops.sum(images * texts, axis=1) * y_pred["logit_scale"]
        return keras.ops.softplus(-logits - y_pred["logit_bias"])


def test_a_loss_on_pairs_without_given():
    policy = IndependentSelection(sub_batch_size=5)
    first_picks = []
    for loss in (PlainPairsLoss(), SigmoidContrastiveLoss()):
        model = make_model(loss=loss, selection=policy)
        recorder = Recorder(model)
        fit(model, make_pool())
        first_picks.append(recorder.picks[0])
    assert first_picks[0] == first_picks[1]


def test_class_weight_reaches_the_training_and_not_the_scores():
    x, y, _ = make_labelled(20)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    models = [
        make_model(make_classifier(), make_classifier(1.0), loss=loss)
        for _ in range(2)
    ]
    recorders = [Recorder(model) for model in models]
    weights = {0: 0.25, 1: 1.0, 2: 3.0}
    fit(models[0], x, y=y, class_weight=weights)
    rows = np.array([weights[label] for label in y], "float32")
    fit(models[1], x, y=y, sample_weight=rows)
    unweighted = make_model(make_classifier(), make_classifier(1.0), loss=loss)
    recorder = Recorder(unweighted)
    fit(unweighted, x, y=y)
    assert recorders[0].picks == recorders[1].picks == recorder.picks
    assert_same_weights(models[0], models[1], rtol=1e-6, atol=1e-7)
    first, other = weights_of(models[0].learner), weights_of(unweighted.learner)
    assert np.abs(first[0] - other[0]).max() > 1e-3


def test_validation_split_and_initial_epoch():
    model = make_model()
    pool = make_pool(50)
    history = fit(model, pool, validation_split=0.2, epochs=3, initial_epoch=1)
    assert int(model.draws) == 4  # Two epochs of the first 40 rows.
    assert len(history["val_loss"]) == 2
    expected = model.evaluate(make_pool(10, first=40), verbose=0, batch_size=20)
    np.testing.assert_allclose(history["val_loss"][-1], expected, rtol=1e-5)
