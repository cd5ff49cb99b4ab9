"""Small models choose for a large one, and learn beside it."""

import keras
import numpy as np
import pytest
from small_models import Recorder
from small_models import assert_same_weights
from small_models import fit
from small_models import make_classifier
from small_models import make_labelled
from small_models import to_numpy
from small_models import weights_of

from keras_jest import ClassAct
from keras_jest import IndependentSelection
from keras_jest.models import PrecomputedLosses
from keras_jest.models import precompute_losses

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
X, Y, WEIGHT = make_labelled(40)


def make_model(online=True, reference=True, seed=3, **kwargs):
    if online is True:
        online = make_classifier(2.0)
    if reference is True:
        reference = make_classifier(1.0)
    names = ("train_reference",)
    own = {name: kwargs.pop(name) for name in names if name in kwargs}
    model = ClassAct(make_classifier(), online, reference, seed=seed, **own)
    kwargs = {
        "optimizer": keras.optimizers.SGD(0.1),
        "loss": LOSS,
        "selection": IndependentSelection(sub_batch_size=5),
        **kwargs,
    }
    model.compile(**kwargs)
    return model


def alone(model, optimizer, batches):
    """Train a classifier by plain Keras on these batches."""
    model.compile(optimizer, loss=LOSS)
    for batch in batches:
        model.train_on_batch(*batch)
    return model


def kept(recorder, batch_size=20):
    """The sub-batches of a run over X, Y and WEIGHT."""
    return [
        tuple(of[batch_size * step + np.array(picks)] for of in (X, Y, WEIGHT))
        for step, picks in enumerate(recorder.picks)
    ]


@pytest.mark.parametrize("train_reference", [False, True])
def test_each_model_is_trained_as_if_alone(train_reference):
    """Clipping by a global norm of all gradients would couple them."""

    def optimizer(rate):
        return keras.optimizers.Adam(rate, global_clipnorm=0.05)

    model = make_model(
        train_reference=train_reference,
        optimizer=optimizer(0.1),
        online_optimizer=optimizer(0.02),
        reference_optimizer=optimizer(0.04) if train_reference else None,
    )
    recorder = Recorder(model)
    frozen = weights_of(model.reference)
    fit(model, X, y=Y, sample_weight=WEIGHT)
    assert len(recorder.picks) == 2
    batches = kept(recorder)
    learner = alone(make_classifier(), optimizer(0.1), batches)
    assert_same_weights(model.learner, learner, rtol=1e-5, atol=1e-6)
    online = alone(make_classifier(2.0), optimizer(0.02), batches)
    assert_same_weights(model.online, online, rtol=1e-5, atol=1e-6)
    if train_reference:
        batches = [
            tuple(of[rows] for of in (X, Y, WEIGHT))
            for rows in (slice(20), slice(20, 40))
        ]
        reference = alone(make_classifier(1.0), optimizer(0.04), batches)
        assert_same_weights(model.reference, reference, rtol=1e-5, atol=1e-6)
    else:
        for old, new in zip(frozen, weights_of(model.reference), strict=True):
            np.testing.assert_array_equal(old, new)


def losses_of(model, rows):
    """Cross-entropy by NumPy."""
    logits = to_numpy(model(X[rows])).astype("float64")
    log_sum = np.log(np.sum(np.exp(logits), axis=1))
    return log_sum - logits[np.arange(len(logits)), Y[rows]]


@pytest.mark.parametrize(
    ("online", "score"),
    [
        (True, "learnability"),
        (True, "hard_learner"),
        (True, "easy_reference"),
        (None, "learnability"),
    ],
)
def test_what_is_kept_has_the_highest_scores(online, score):
    policy = IndependentSelection(0.75, score=score, gain=float("inf"))
    model = make_model(online=online, selection=policy)
    scorer = make_classifier(2.0 if online else 0.0)
    hard, easy = (
        losses_of(of, slice(20)) for of in (scorer, make_classifier(1.0))
    )
    scores = {
        "learnability": hard - easy,
        "hard_learner": hard,
        "easy_reference": -easy,
    }[score]
    recorder = Recorder(model)
    fit(model, X[:20], y=Y[:20])
    assert recorder.picks == [np.argsort(-scores)[:5].tolist()]


def test_the_same_rows_are_picked_on_every_backend():
    model = make_model(train_reference=True)
    recorder = Recorder(model)
    fit(model, X, y=Y, epochs=2)
    assert recorder.picks == [
        [7, 14, 2, 6, 13],
        [7, 2, 5, 1, 16],
        [19, 11, 8, 4, 10],
        [15, 14, 19, 2, 9],
    ]


def test_the_loss_is_the_learners_alone():
    penalty = keras.regularizers.L2(0.1)
    online = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(3, kernel_regularizer=penalty),
        ]
    )
    model = make_model(
        online=online, train_reference=True, selection="uniform",
        metrics=["accuracy"], optimizer=keras.optimizers.SGD(0.0),
    )  # fmt: skip
    recorder = Recorder(model)
    logs = fit(model, X[:20], y=Y[:20])
    rows = recorder.picks[0]
    expected = np.mean(losses_of(model.learner, rows))
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)
    right = np.argmax(to_numpy(model.learner(X[rows])), axis=1) == Y[rows]
    np.testing.assert_allclose(logs["accuracy"], np.mean(right), rtol=1e-6)
    loss = model.evaluate(X, Y, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(
        loss, np.mean(losses_of(model.learner, slice(40))), rtol=1e-5
    )
    np.testing.assert_array_equal(
        model.predict(X, verbose=0), model.learner.predict(X, verbose=0)
    )


def test_validation_and_evaluation():
    model = make_model(train_reference=True)
    logs = fit(model, X[:20], y=Y[:20], validation_data=(X[20:], Y[20:]))
    expected = np.mean(losses_of(model.learner, slice(20, 40)))
    np.testing.assert_allclose(logs["val_loss"], expected, rtol=1e-5)
    loss = model.test_on_batch(X[20:], Y[20:], return_dict=True)["loss"]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@keras.saving.register_keras_serializable("test")
class AddedLoss(keras.layers.Layer):
    def call(self, inputs):
        self.add_loss(0.3 * keras.ops.mean(keras.ops.square(inputs)))
        return inputs


def with_losses_of_layers():
    """What a model trains on besides its loss, in Keras' three ways."""
    dense = keras.layers.Dense(
        3, kernel_regularizer="l2", activity_regularizer=keras.regularizers.L2()
    )
    model = keras.Sequential([keras.Input((6,)), dense, AddedLoss()])
    model.set_weights(make_classifier(2.0).get_weights())
    return model


@pytest.mark.parametrize("train_reference", [False, True])
def test_what_layers_add_to_the_loss_trains_them(train_reference):
    kwargs = {"online": with_losses_of_layers()}
    if train_reference:
        kwargs = {"reference": with_losses_of_layers()}
    model = make_model(train_reference=train_reference, **kwargs)
    recorder = Recorder(model)
    logs = fit(model, X, y=Y, sample_weight=WEIGHT)
    batches = kept(recorder)
    if train_reference:
        batches = [
            (X[rows], Y[rows], WEIGHT[rows])
            for rows in (slice(20), slice(20, 40))
        ]
    plain = alone(with_losses_of_layers(), keras.optimizers.SGD(0.1), batches)
    trained = model.reference if train_reference else model.online
    assert_same_weights(trained, plain, rtol=1e-5, atol=1e-6)
    learner = make_classifier()
    learner.compile(keras.optimizers.SGD(0.1), loss=LOSS)
    losses = [learner.train_on_batch(*batch) for batch in kept(recorder)]
    np.testing.assert_allclose(logs["loss"], np.mean(losses), rtol=1e-5)


def test_equal_scorers_score_nothing():
    twins = make_classifier(2.0), make_classifier(2.0)
    model = make_model(*twins, optimizer=keras.optimizers.SGD(0.0))
    recorder = Recorder(model)
    uniform = make_model(*twins, selection="uniform")
    uniform.compile(
        keras.optimizers.SGD(0.0),
        loss=LOSS,
        selection=IndependentSelection(sub_batch_size=5, gain=0.0),
    )
    other = Recorder(uniform)
    logs = [fit(of, X, y=Y) for of in (model, uniform)]
    assert logs[0]["learnability"] == [0]
    assert recorder.picks == other.picks


def test_losses_that_come_with_the_batch():
    def named(offset):
        model = keras.Sequential(
            [keras.Input((6,), name="images"), keras.layers.Dense(3)]
        )
        model.set_weights(make_classifier(offset).get_weights())
        return model

    x = {"images": X}
    stored = precompute_losses(named(1.0), x, Y, LOSS, batch_size=7)
    np.testing.assert_allclose(
        stored, losses_of(make_classifier(1.0), slice(40)), rtol=1e-5
    )
    picks = []
    for reference in (named(1.0), PrecomputedLosses()):
        model = ClassAct(named(0.0), named(2.0), reference, seed=0)
        model.compile("sgd", loss=LOSS)
        recorder = Recorder(model)
        fit(model, {**x, "reference_loss": stored}, y=Y)
        picks.append(recorder.picks)
    assert picks[0] == picks[1]


def test_flipped_labels():
    """Learnability keeps fewer of them than a uniform draw, hardness more."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype("float32")
    clean = np.argmax(x[:, :3], axis=1)
    is_flipped = rng.random(400) < 0.1
    y = np.where(is_flipped, (clean + 1) % 3, clean)
    reference = make_classifier()
    kernel, bias = np.zeros((6, 3), "float32"), np.zeros(3, "float32")
    kernel[:3] = 5 * np.eye(3)
    reference.set_weights([kernel, bias])
    shares = {}
    for score in ("learnability", "hard_learner"):
        policy = IndependentSelection(0.75, score=score, gain=float("inf"))
        online = make_classifier()
        online.set_weights([kernel / 5, bias])
        model = make_model(online, reference, selection=policy)
        recorder = Recorder(model)
        fit(model, x, y=y, batch_size=400)
        shares[score] = np.mean(is_flipped[recorder.picks[0]])
        reference.trainable = True
    assert shares["learnability"] < 0.05 < 0.2 < shares["hard_learner"]


def test_a_saved_model_goes_on_as_if_nothing_had_happened(tmp_path):
    def make():
        return make_model(
            train_reference=True,
            optimizer=keras.optimizers.Adam(0.1),
            reference_optimizer=keras.optimizers.SGD(0.3, momentum=0.9),
        )

    model, expected = make(), make()
    fit(model, X, y=Y)
    model.save(tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras")
    rates = [float(of.learning_rate) for of in model.optimizer.each]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.3], rtol=1e-6)
    recorder = Recorder(model)
    fit(model, X, y=Y)
    other = Recorder(expected)
    fit(expected, X, y=Y, epochs=2)
    assert recorder.picks == other.picks[2:]
    assert_same_weights(model, expected, rtol=1e-6, atol=1e-7)


def test_statistics_of_the_online_model_follow_its_training():
    """And do not follow the super-batch, which it only scores."""
    layer = keras.layers.BatchNormalization
    online = make_classifier(2.0, [layer()])
    model = make_model(online=online)
    recorder = Recorder(model)
    fit(model, X, y=Y)
    plain = make_classifier(2.0, [layer()])
    batches = [batch[:2] for batch in kept(recorder)]
    plain = alone(plain, keras.optimizers.SGD(0.1), batches)
    assert_same_weights(model.online, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"reference_optimizer": "sgd"}, "(?s)not trained.*train_reference"),
        ({"online": None, "online_optimizer": "sgd"}, "not trained"),
        ({"reference": None, "train_reference": True}, "reference=None"),
        (
            {"reference": PrecomputedLosses(), "train_reference": True},
            "with weights",
        ),
        ({"reference": None}, "choose a score without one"),
        (
            {"optimizer": keras.optimizers.SGD(0.1, loss_scale_factor=8.0)},
            "auto_scale_loss",
        ),
        (
            {
                "online_optimizer": keras.optimizers.LossScaleOptimizer(
                    keras.optimizers.SGD(0.1)
                )
            },
            "auto_scale_loss.*online_optimizer",
        ),
        (
            dict.fromkeys(
                ("optimizer", "online_optimizer"), keras.optimizers.SGD(0.1)
            ),
            "same one twice",
        ),
        (
            {"optimizer": keras.optimizers.SGD(lambda: 0.1)},
            "Pass `online_optimizer`",
        ),
    ],
)
def test_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_model(**kwargs)


def test_the_same_model_twice():
    model = make_classifier()
    with pytest.raises(ValueError, match="online and the reference are the"):
        ClassAct(make_classifier(), model, model)


class Narrow(keras.Model):
    """It does not know its outputs before it is called."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(5)

    def call(self, inputs):
        return self.dense(inputs)


def test_outputs_that_are_known_in_the_first_step_alone():
    model = make_model(online=Narrow())
    before = weights_of(model.learner)
    with pytest.raises(ValueError, match=r"online model .*, 5\), and .*, 3\)"):
        fit(model, X, y=Y)
    for old, new in zip(before, weights_of(model.learner), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_callback_changes_all_learning_rates_in_proportion():
    model = make_model(online_optimizer=keras.optimizers.SGD(0.04))
    slower = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    fit(model, X, y=Y, epochs=2, callbacks=[slower])
    rates = [float(of.learning_rate) for of in model.optimizer.each]
    np.testing.assert_allclose(rates, [0.025, 0.01], rtol=1e-6)


@pytest.mark.parametrize("role", ["online", "reference"])
def test_outputs_that_do_not_fit_the_loss(role):
    narrow = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    with pytest.raises(
        ValueError, match=rf"{role}.*\(None, 2\), and \(None, 3\)"
    ):
        make_model(**{role: narrow})


def test_label_smoothing_in_training_and_not_in_scores():
    """Targets are one-hot; picks are those of the loss without smoothing."""
    one_hot = np.eye(3, dtype="float32")[Y]
    smooth = keras.losses.CategoricalCrossentropy(True, label_smoothing=0.3)
    model = make_model(
        loss=smooth,
        score_loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        selection=IndependentSelection(0.75, gain=float("inf")),
    )
    recorder = Recorder(model)
    scores = [losses_of(make_classifier(of), slice(20)) for of in (2.0, 1.0)]
    highest = np.argsort(scores[1] - scores[0])[:5]
    fit(model, X[:20], y=one_hot[:20])
    assert recorder.picks == [highest.tolist()]
    learner = make_classifier()
    learner.compile(keras.optimizers.SGD(0.1), loss=smooth)
    learner.train_on_batch(X[highest], one_hot[highest])
    assert_same_weights(model.learner, learner, rtol=1e-5, atol=1e-6)


def test_class_weights_weigh_what_was_picked():
    class_weight = {0: 0.5, 1: 2.0, 2: 4.0}
    model = make_model()
    recorder = Recorder(model)
    fit(model, X, y=Y, class_weight=class_weight)
    weight = np.array([class_weight[label] for label in Y], "float32")
    batches = [
        (X[rows], Y[rows], weight[rows])
        for rows in (
            20 * step + np.array(picks)
            for step, picks in enumerate(recorder.picks)
        )
    ]
    for part, offset in (("learner", 0.0), ("online", 2.0)):
        plain = alone(
            make_classifier(offset), keras.optimizers.SGD(0.1), batches
        )
        trained = getattr(model, part)
        assert_same_weights(trained, plain, rtol=1e-5, atol=1e-6)


def test_an_online_model_with_other_inputs():
    """Each is given the inputs that it names."""

    def named(name):
        return keras.Sequential(
            [keras.Input((6,), name=name), keras.layers.Dense(3)]
        )  # fmt: skip

    model = ClassAct(named("images"), named("small"), named("small"), seed=0)
    model.compile("sgd", loss=LOSS)
    fit(model, {"images": X, "small": X / 2}, y=Y)
    with pytest.raises(ValueError, match=r"online model needs .*\['small'\]"):
        fit(model, {"images": X}, y=Y)


def test_the_spread_of_scores_is_shown():
    policy = IndependentSelection(sub_batch_size=5, gain=3.0)
    model = make_model(selection=policy)
    hard, easy = (
        losses_of(make_classifier(offset), slice(20)) for offset in (2.0, 1.0)
    )
    logs = fit(model, X[:20], y=Y[:20])
    expected = np.log(3.0 * np.std(hard - easy))
    np.testing.assert_allclose(logs["log_spread"], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("score", "spread"),
    [
        ("hard_learner", lambda hard, easy: np.std(hard)),
        (
            lambda learner, reference: learner - 2 * reference,
            lambda hard, easy: np.std(hard - 2 * easy),
        ),
    ],
)
def test_the_spread_is_that_of_the_score_that_draws(score, spread):
    policy = IndependentSelection(sub_batch_size=5, score=score)
    model = make_model(selection=policy)
    hard, easy = (
        losses_of(make_classifier(offset), slice(20)) for offset in (2.0, 1.0)
    )
    logs = fit(model, X[:20], y=Y[:20])
    expected = np.log(spread(hard, easy))
    np.testing.assert_allclose(logs["log_spread"], expected, rtol=1e-4)


@pytest.mark.parametrize(
    "selection", ["uniform", IndependentSelection(0.5, gain=float("inf"))]
)
def test_there_is_no_spread_where_no_score_draws(selection):
    model = make_model(selection=selection)
    assert "log_spread" not in fit(model, X, y=Y)


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_outside_the_classes(label):
    labels = Y.copy()
    labels[[7, 30]] = label
    model = make_model()
    before = weights_of(model.learner)
    with pytest.raises(ValueError, match="(?s)from 0 to 2.*2 labels"):
        fit(model, X, y=labels)
    for old, new in zip(before, weights_of(model.learner), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.skipif(
    keras.backend.backend() != "jax",
    reason="the others' cross-entropy raises at once",
)
@pytest.mark.parametrize("row", [7, 30, 79])
def test_labels_outside_the_classes_in_a_dataset(row):
    """Found one step later, or at the end; the model can be used again."""
    images, labels, _ = make_labelled(80)
    labels[row] = 3
    slices = [slice(first, first + 20) for first in range(0, 80, 20)]
    model, fetched = make_model(), []

    def batches():
        for rows in slices:
            fetched.append(rows.start)
            yield images[rows], labels[rows]

    with pytest.raises(ValueError, match="1 labels outside"):
        model.fit(batches(), verbose=0)
    # Keras fetches two batches ahead.
    assert max(fetched) <= row // 20 * 20 + 60
    fit(model, X, y=Y)
    with pytest.raises(ValueError, match="1 labels outside"):
        model.train_on_batch(images[60:], np.array([0] * 19 + [3]))
