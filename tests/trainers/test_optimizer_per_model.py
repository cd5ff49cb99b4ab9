"""What callbacks and users read from several optimizers at once."""

import keras
import numpy as np
import pytest
from small_models import fit
from small_models import make_classifier
from small_models import make_labelled
from small_models import to_numpy
from small_models import weights_of

from keras_jest import ClassAct
from keras_jest import IndependentSelection

X, Y, _ = make_labelled(40)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def make_model(optimizer, **kwargs):
    model = ClassAct(
        make_classifier(), make_classifier(1.0), make_classifier(2.0), seed=3
    )
    policy = IndependentSelection(0.5)
    model.compile(optimizer, loss=LOSS, selection=policy, **kwargs)
    return model


class EachStep(keras.callbacks.Callback):
    """The learner's weights after each step."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def on_train_batch_end(self, batch, logs=None):
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        self.weights.append(weights_of(self.model.learner))


def test_ema_weights_are_swapped_in_and_out():
    """Validation sees 0.7 * average + 0.3 * weights, over all steps."""
    model = make_model(
        keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.7)
    )
    steps = EachStep()
    callbacks = [steps, keras.callbacks.SwapEMAWeights()]
    data = {"validation_data": (X, Y), "callbacks": callbacks}
    history = fit(model, X, y=Y, epochs=2, **data)
    averages, expected = None, []
    for number, weights in enumerate(steps.weights):
        averages = [
            weight if averages is None else 0.7 * average + 0.3 * weight
            for average, weight in zip(
                averages or weights, weights, strict=True
            )
        ]
        if number % 2:
            twin = make_classifier()
            twin.set_weights(averages)
            expected.append(float(LOSS(Y, twin(X))))
    np.testing.assert_allclose(history["val_loss"], expected, rtol=1e-5)
    # Keras leaves the averages in a model that was trained.
    for weight, average in zip(
        weights_of(model.learner), averages, strict=True
    ):
        np.testing.assert_allclose(weight, average, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("use_ema", [(False, False), (True, False)])
def test_what_keeps_no_averages_is_named(use_ema):
    optimizers = [keras.optimizers.SGD(0.1, use_ema=of) for of in use_ema]
    model = make_model(optimizers[0], online_optimizer=optimizers[1])
    told = f"optimizer.use_ema={use_ema[0]}, online_optimizer.use_ema=False"
    with pytest.raises(ValueError, match=told):
        fit(
            model,
            X,
            y=Y,
            validation_data=(X, Y),
            callbacks=[keras.callbacks.SwapEMAWeights()],
        )


@pytest.mark.parametrize(
    "settings",
    [
        {"clipnorm": 1.0, "weight_decay": 0.1},
        {"clipvalue": 0.5, "gradient_accumulation_steps": 2},
        {"global_clipnorm": 2.0},
        {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3},
    ],
)
def test_settings_are_those_of_the_learner_s(settings):
    model = make_model(keras.optimizers.Adam(0.1, **settings))
    alone = keras.optimizers.Adam(0.1)
    model.optimizer.build(model.trainable_variables)
    for name in ("clipnorm", "clipvalue", "global_clipnorm", "use_ema"):
        expected = settings.get(name, getattr(alone, name))
        assert getattr(model.optimizer, name) == expected
    for name, value in settings.items():
        assert getattr(model.optimizer, name) == value
    own = sum(len(of.variables) for of in model.optimizer.each)
    assert len(model.optimizer.variables) == 2 + own


def test_weight_decay_is_excluded_for_all():
    model = make_model(keras.optimizers.SGD(1.0, weight_decay=0.5))
    model.optimizer.exclude_from_weight_decay(var_names=["kernel"])
    model.optimizer.build(model.trainable_variables)
    before = [to_numpy(v) for v in model.trainable_variables]
    model.optimizer.apply([keras.ops.zeros_like(v) for v in before])
    for variable, value in zip(model.trainable_variables, before, strict=True):
        factor = 1.0 if variable.name == "kernel" else 0.5
        np.testing.assert_allclose(to_numpy(variable), factor * value)


def test_weights_of_an_optimizer_are_those_of_all():
    models = [make_model(keras.optimizers.Adam(0.1)) for _ in range(2)]
    fit(models[0], X, y=Y)
    values = [to_numpy(v) for v in models[0].optimizer.variables]
    models[1].optimizer.build(models[1].trainable_variables)
    models[1].optimizer.set_weights(values)
    for one, other in zip(values, models[1].optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, to_numpy(other))


def set_rates(model, *rates):
    """The rates that follow, each rounded to float32 some times: 6e-8."""
    for rate in rates:
        model.optimizer.learning_rate = rate
    return [float(to_numpy(of.learning_rate)) for of in model.optimizer.each]


def make_two_rates():
    adam = keras.optimizers.Adam
    return make_model(adam(1e-3), online_optimizer=adam(1e-2))


def test_ratios_of_learning_rates_outlast_a_rate_of_0():
    model = make_two_rates()
    assert set_rates(model, 0.0) == [0.0, 0.0]
    np.testing.assert_allclose(set_rates(model, 1e-3), [1e-3, 1e-2], rtol=1e-5)
    rates = set_rates(model, 0.0, 0.0, 2e-3)
    np.testing.assert_allclose(rates, [2e-3, 2e-2], rtol=1e-5)


def test_one_learning_rate_may_be_changed_alone():
    model = make_two_rates()
    model.optimizer.each[1].learning_rate = 5e-3
    rates = set_rates(model, 0.0, 1e-3)
    np.testing.assert_allclose(rates, [1e-3, 5e-3], rtol=1e-5)


def test_schedules_are_not_asked_before_the_first_step():
    class Schedule(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            raise AssertionError

        def get_config(self):
            return {}

    online = keras.optimizers.Adam(Schedule())
    model = make_model(keras.optimizers.Adam(1e-3), online_optimizer=online)
    assert model.optimizer.each[1] is online
