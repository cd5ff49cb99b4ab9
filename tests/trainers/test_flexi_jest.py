"""Coarse scoring and training on two sizes, against slow ways to do both."""

import keras
import numpy as np
import pytest
from keras import ops
from on_backend import started_soon
from small_models import Recorder
from small_models import assert_same_weights
from small_models import fit
from small_models import set_weights_by_formula
from small_models import to_numpy

from keras_jest import FlexiJEST
from keras_jest import IndependentSelection
from keras_jest import JESTModel
from keras_jest import JointSelection
from keras_jest import UniformSelection
from keras_jest.callbacks import RankAgreement
from keras_jest.flops.count_flops import flops_of_pass
from keras_jest.flops.model_pass import UNIFORM
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder
from keras_jest.models import PrecomputedLosses
from keras_jest.models import SigLIP

SIGMOID = SigmoidContrastiveLoss()
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(
    from_logits=True, reduction="mean"
)
HIGHEST = IndependentSelection(0.5, gain=float("inf"))


def make_pool(num_rows=24, size=8):
    """Pictures of bars and patterns by a formula, texts, keys."""
    rows = np.arange(num_rows)[:, None, None, None]
    y, x, c = np.meshgrid(
        np.arange(size), np.arange(size), np.arange(3), indexing="ij"
    )
    waves = np.sin(0.3 * rows * x + 0.2 * rows * y + c) * np.cos(rows + 1.1 * x)
    token_ids = (np.arange(num_rows)[:, None] * np.array([3, 5, 7]) + 1) % 9
    return {
        "images": np.round(127.5 * (1 + waves)).astype("uint8"),
        "token_ids": token_ids.astype("int32"),
    }


def make_siglip(offset=0.0, **kwargs):
    model = SigLIP.from_variant(
        "mu/2", image_size=8, vocabulary_size=9, sequence_length=3, **kwargs
    )
    set_weights_by_formula(model, offset)
    return model


def make_pooling_encoder(offset=0.0, seen=((), ())):
    """A convolutional tower of any picture size, and a tower of texts."""
    images = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            *seen[0],
            keras.layers.Rescaling(1 / 127.5, offset=-1.0),
            keras.layers.Conv2D(4, 2, activation="tanh"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4),
        ]
    )
    texts = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            *seen[1],
            keras.layers.Embedding(9, 4),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )
    model = DualEncoder(images, texts)
    model.build({"images": (None, 8, 8, 3), "token_ids": (None, 3)})
    set_weights_by_formula(model, offset)
    return model


def make_classifier(layers=(), size=None):
    model = keras.Sequential(
        [
            keras.Input((size, size, 3), name="images"),
            keras.layers.Rescaling(1 / 127.5, offset=-1.0),
            keras.layers.Conv2D(4, 2, activation="tanh"),
            *layers,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
    )
    set_weights_by_formula(model, 0.0)
    return model


def make_model(learner, reference=None, loss=SIGMOID, **kwargs):
    arguments = {"coarse_size": 4, "seed": 3, **kwargs}
    compiled = {
        name: arguments.pop(name)
        for name in ("selection", "scoring_batch_size")
        if name in arguments
    }
    model = FlexiJEST(learner, reference, **arguments)
    model.compile(keras.optimizers.SGD(0.1), loss=loss, **compiled)
    return model


def flexible():
    return make_siglip(patch_sizes=(2, 4)), make_pooling_encoder(1.0)


def pooling():
    return make_pooling_encoder(), make_pooling_encoder(1.0)


ON_TORCH_IF_FLEXIBLE = pytest.mark.parametrize(
    "make", [pytest.param(flexible, marks=pytest.mark.slow), pooling]
)


def shrunk(images):
    """The mean of each four pixels."""
    num_rows, size = images.shape[:2]
    images = ops.cast(images, "float32")
    blocks = (num_rows, size // 2, 2, size // 2, 2, 3)
    return ops.mean(ops.reshape(images, blocks), axis=(2, 4))


def seen_coarsely(learner, pool):
    if learner.patch_sizes:
        return learner(pool, patch_size=4)
    return learner({**pool, "images": shrunk(pool["images"])})


@pytest.mark.parametrize("make", [flexible, pooling])
@pytest.mark.parametrize(
    "score_delay", [0, pytest.param(1, marks=pytest.mark.slow)]
)
def test_rows_are_picked_by_coarse_losses(make, score_delay):
    learner, reference = make()
    pool = make_pool()
    policy = JointSelection(0.5, num_chunks=2, gain=float("inf"))

    def best_rows():
        seen = seen_coarsely(learner, pool), reference(pool)
        return policy.select(*map(SIGMOID.given, seen), seed=0)

    expected = to_numpy(started_soon(best_rows)())
    model = make_model(
        learner,
        reference,
        selection=policy,
        score_delay=score_delay,
        scoring_batch_size=7,
    )
    recorder = Recorder(model)
    fit(model, pool, batch_size=24)
    # Scores are some 0.01 apart and differ by float32 rounding, 1e-5.
    assert recorder.picks == [expected.tolist()]


class SeenBothWays(keras.Model):
    """A learner that is told in plain words what to see coarsely."""

    def __init__(self, learner):
        super().__init__()
        self.learner = learner

    def call(self, inputs):
        coarse, fine = seen_coarsely(self.learner, inputs), self.learner(inputs)
        is_coarse = np.arange(6) % 2 == 1
        return {
            name: ops.where(
                is_coarse if len(fine[name].shape) == 1 else is_coarse[:, None],
                coarse[name],
                fine[name],
            )
            for name in fine
        }


@ON_TORCH_IF_FLEXIBLE
def test_every_second_row_is_trained_coarsely_in_one_loss(make):
    pool = make_pool(6)
    model = make_model(make()[0], selection=None)
    slow = SeenBothWays(make()[0])
    plain = JESTModel(slow, seed=3)
    plain.compile(keras.optimizers.SGD(0.1), loss=SIGMOID, selection=None)
    logs = [fit(of, pool, batch_size=6, epochs=2) for of in (model, plain)]
    np.testing.assert_allclose(logs[0]["loss"], logs[1]["loss"], rtol=1e-5)
    # Two steps, each off by float32 rounding of gradients up to 30: 3e-6.
    assert_same_weights(model.learner, slow.learner, rtol=1e-5, atol=1e-5)
    other = make_model(make()[0], selection=None, coarse_share=0)
    assert fit(other, pool, batch_size=6)["loss"] != logs[0]["loss"][:1]


def test_without_a_coarse_share_the_training_is_that_of_jest():
    pool = make_pool()
    learner, reference = pooling()
    model = make_model(learner, reference, selection=HIGHEST, coarse_share=0)
    recorder = Recorder(model)
    fit(model, pool, batch_size=24)
    other = JESTModel(pooling()[0])
    other.compile(keras.optimizers.SGD(0.1), loss=SIGMOID, selection=None)
    rows = recorder.picks[0]
    fit(other, {name: of[rows] for name, of in pool.items()}, batch_size=12)
    # One step of two programs: rounding of gradients below 10.
    assert_same_weights(model.learner, other.learner, rtol=1e-6, atol=1e-6)


class Seen(keras.layers.Layer):
    """Notes the shapes that it is traced or run with, and in which mode."""

    def __init__(self):
        super().__init__()
        self.shapes = {}

    def call(self, inputs, training=None):
        self.shapes.setdefault(bool(training), set()).add(inputs.shape)
        return inputs

    def of(self, training):
        return {tuple(shape) for shape in self.shapes[training]}


def test_what_each_tower_sees():
    images, texts = Seen(), Seen()
    learner = make_pooling_encoder(seen=([images], [texts]))
    model = make_model(learner, make_pooling_encoder(1.0), selection=HIGHEST)
    images.shapes, texts.shapes = {}, {}
    fit(model, make_pool(20), batch_size=20)
    assert (20, 4, 4, 3) in images.of(False)
    assert (20, 8, 8, 3) not in images.of(False)
    assert images.of(True) == {(5, 4, 4, 3), (5, 8, 8, 3)}
    assert texts.of(True) == {(10, 3)}


def test_moving_statistics_are_those_of_fine_rows():
    norm = keras.layers.BatchNormalization(momentum=0.0)
    learner = make_classifier(layers=[norm])
    before = keras.Model(learner.inputs, learner.layers[1].output)
    x = make_pool(8)["images"]
    y = np.arange(8) % 3
    fine = to_numpy(before(x))[::2]
    model = make_model(learner, loss=CROSS_ENTROPY, selection=None)
    fit(model, {"images": x}, y=y, batch_size=8)
    mean, variance = fine.mean(axis=(0, 1, 2)), fine.var(axis=(0, 1, 2))
    # Of 196 numbers below 1, in float32.
    np.testing.assert_allclose(to_numpy(norm.moving_mean), mean, atol=1e-5)
    np.testing.assert_allclose(
        to_numpy(norm.moving_variance), variance, atol=1e-5
    )


@pytest.mark.slow
def test_evaluation_with_batch_norm_is_that_of_fine_training():
    """Bars that lie or stand, under noise: easy to see at both sizes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1024)
    waves = np.sin(np.arange(8) * np.pi / 2 + rng.uniform(0, 6, (1024, 1)))
    lying = np.broadcast_to(waves[:, :, None, None], (1024, 8, 8, 3))
    standing = np.broadcast_to(waves[:, None, :, None], (1024, 8, 8, 3))
    x = np.where(y[:, None, None, None], lying, standing)
    x = 127.5 + 60 * x + rng.normal(0, 20, x.shape)
    x = np.clip(x, 0, 255).astype("float32")
    right = []
    for share in (0, 0.5):
        keras.utils.set_random_seed(0)
        norm = keras.layers.BatchNormalization()
        learner = make_classifier(layers=[norm])
        model = FlexiJEST(learner, coarse_size=4, coarse_share=share, seed=0)
        loss = CROSS_ENTROPY
        model.compile("adam", loss, None, metrics=["accuracy"])
        model.optimizer.learning_rate = 0.02
        model.fit(x[:512], y[:512], batch_size=64, epochs=20, verbose=0)
        logs = model.evaluate(x[512:], y[512:], verbose=0, return_dict=True)
        right.append(logs["accuracy"])
    # Chance is 0.5. Of 512 rows, two standard errors of a difference between
    # shares of 0.95 are 2 * sqrt(2 * 0.95 * 0.05 / 512) = 0.027.
    assert right[0] > 0.9 and abs(right[1] - right[0]) < 0.027


def test_irreducible_losses_at_low_resolution():
    """RHO-LOSS: the learner of `ClassAct`, with stored losses."""
    pool = make_pool(20)
    y = (np.arange(20) ** 2 % 3).astype("int32")
    stored = np.sin(np.arange(20)).astype("float32")
    learner = make_classifier()
    logits = to_numpy(learner(shrunk(pool["images"]))).astype("float64")
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(20), y]
    expected = np.argsort(stored - losses)[:10]
    model = make_model(
        learner, PrecomputedLosses(), loss=CROSS_ENTROPY, selection=HIGHEST
    )
    recorder = Recorder(model)
    batch = {"images": pool["images"], "reference_loss": stored}
    fit(model, batch, y=y, batch_size=20)
    assert recorder.picks == [expected.tolist()]


@ON_TORCH_IF_FLEXIBLE
def test_a_file_goes_on_with_the_same_draws(make, tmp_path):
    pool, policy = make_pool(), JointSelection(0.5, num_chunks=2)
    model = make_model(*make(), selection=policy, coarse_share=0.25)
    fit(model, pool, batch_size=12)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (loaded.coarse_size, loaded.coarse_share) == (4, 0.25)
    settings = [of.get_selection_settings() for of in (model, loaded)]
    assert settings[0] == settings[1] and settings[0]["coarse_size"] == 4
    recorders = [Recorder(of) for of in (model, loaded)]
    for of in (model, loaded):
        fit(of, pool, batch_size=12)
    assert recorders[0].picks == recorders[1].picks
    assert_same_weights(model, loaded)


def test_a_last_super_batch_of_one_row():
    model = make_model(*pooling(), selection=UniformSelection(0.5))
    logs = fit(model, make_pool(13), batch_size=12)
    assert np.isfinite(logs["loss"]).all()


@pytest.mark.parametrize("share", [0.5, 0.75, 0.99])
def test_one_row_is_seen_finely(share):
    """Of no rows a batch normalization would learn a mean that is NaN."""
    norm = keras.layers.BatchNormalization()
    learner = make_classifier(layers=[norm])
    policy = UniformSelection(0.5)
    model = make_model(
        learner, loss=CROSS_ENTROPY, selection=policy, coarse_share=share
    )
    x = make_pool(9)["images"]
    fit(model, {"images": x}, y=np.arange(9) % 3, batch_size=8)
    assert np.isfinite(to_numpy(norm.moving_mean)).all()


class OwnEncoder(keras.Model):
    """A learner of the user's, with a method that is called as ours."""

    def __init__(self):
        super().__init__()
        self.images, self.texts = make_pooling_encoder().layers[:2]

    def encode_images(self, images):
        return self.images(images)

    def call(self, inputs):
        images = self.encode_images(inputs["images"])
        ones = ops.ones_like(images[:, 0])
        return {
            "image_embedding": ops.normalize(images),
            "text_embedding": ops.normalize(self.texts(inputs["token_ids"])),
            "logit_scale": 10 * ones,
            "logit_bias": -10 * ones,
        }


def test_a_learner_with_methods_of_its_own():
    model = make_model(OwnEncoder(), selection=None)
    assert np.isfinite(fit(model, make_pool(8), batch_size=8)["loss"]).all()


@pytest.mark.parametrize(
    ("learner", "kwargs", "message"),
    [
        (pooling, {"coarse_size": None}, "coarse_size=None"),
        (pooling, {"coarse_size": 0}, "coarse_size=0"),
        (pooling, {"coarse_size": 8}, "coarse_size=8, pictures of 8 pixels"),
        (pooling, {"coarse_share": 1.0}, "coarse_share=1.0"),
        (pooling, {"coarse_share": -0.1}, "coarse_share=-0.1"),
        (
            pooling,
            {"selection": UniformSelection(sub_batch_size=1)},
            "sub-batch of 1 rows, coarse_share=0.5",
        ),
        (flexible, {"coarse_size": 2}, r"2 \* 8 / 2 .* patch_sizes=\(2, 4\)"),
        (flexible, {"coarse_size": 3}, r"2 \* 8 / 3 .* coarse_size=3"),
        (
            lambda: [make_siglip()],
            {},
            "cannot see pictures of 4 pixels.* a SigLIP with `patch_sizes`",
        ),
    ],
)
def test_what_is_refused_before_the_first_step(learner, kwargs, message):
    arguments = {"selection": UniformSelection(0.5), **kwargs}
    with pytest.raises(ValueError, match=message):
        model = make_model(*learner(), **arguments)
        fit(model, make_pool(8), batch_size=8)


def test_a_classifier_of_one_size_is_refused():
    flat = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    model = make_model(flat, loss=CROSS_ENTROPY, selection=None)
    with pytest.raises(ValueError, match=r"of 4 pixels.*\(None, None, 3\)"):
        fit(model, make_pool(4)["images"], y=np.zeros(4), batch_size=4)


def test_pictures_of_other_shapes_are_refused():
    model = make_model(*pooling(), selection=UniformSelection(0.5))
    pool = make_pool(8)
    pool["images"] = pool["images"][:, :, :6]
    with pytest.raises(ValueError, match=r"square pictures.*\(\d, 8, 6, 3\)"):
        fit(model, pool, batch_size=8)
    flat = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    model = make_model(flat, loss=CROSS_ENTROPY, selection=None)
    with pytest.raises(ValueError, match=r"square pictures.*\(\d, 6\)"):
        fit(model, np.ones((4, 6), "float32"), y=np.zeros(4), batch_size=4)


def test_equal_looks_agree():
    """Pictures of one colour each are the same when they are shrunk."""
    pool = make_pool(20)
    colours = pool["images"][:, :1, :1]
    pool["images"] = np.broadcast_to(colours, (20, 8, 8, 3)).copy()
    model = make_model(*pooling(), selection=JointSelection(0.5, num_chunks=2))
    before = [to_numpy(of) for of in model.weights]
    agreement = model.compare_scores(pool)
    np.testing.assert_allclose(agreement["rank_agreement"], 1)
    assert agreement["equal_picks"] == 1
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(to_numpy(weight), value)
    callback = RankAgreement(pool, every=1)
    logs = fit(model, pool, batch_size=20, epochs=2, callbacks=[callback])
    np.testing.assert_allclose(logs["rank_agreement"], [1, 1])
    assert [of["step"] for of in callback.history] == [0, 1, 2]


@ON_TORCH_IF_FLEXIBLE
def test_agreement_of_other_looks(make):
    pool, (learner, reference) = make_pool(), make()
    model = make_model(
        learner, reference, selection=HIGHEST, scoring_batch_size=10
    )
    kept = to_numpy(SIGMOID.given(reference(pool)).values)
    orders = [
        np.argsort(np.argsort(to_numpy(SIGMOID.given(of).values) - kept))
        for of in (seen_coarsely(learner, pool), learner(pool))
    ]
    num_shared = np.sum((orders[0] >= 12) & (orders[1] >= 12))
    # Without ties: 1 - 6 sum d^2 / (n^3 - n).
    spearman = 1 - 6 * np.sum((orders[0] - orders[1]) ** 2) / (24**3 - 24)
    agreement = model.compare_scores(pool)
    assert abs(agreement["rank_agreement"] - spearman) < 1e-9
    assert agreement["equal_picks"] == num_shared / 12
    assert 0 < spearman < 1
    model.selection = UniformSelection(0.5)
    with pytest.raises(ValueError, match="where the learner scores"):
        model.compare_scores(pool)


def test_what_a_step_is_made_of():
    """Half of the sub-batch coarse, the super-batch coarse, the texts whole."""
    learner, reference = flexible()[0], make_siglip(1.0)
    model = make_model(learner, reference, selection=HIGHEST)
    pool = make_pool()
    passes = {of.term: of for of in model.passes(pool)}
    rows = {"trained_rows": 12, "scored_rows": 24}
    flops = {
        term: flops_of_pass(of, pool, rows[of.counted_by])
        for term, of in passes.items()
    }
    coarse = learner.forward_flops_at(4)
    fine = learner.forward_flops
    mixed = 3 * (coarse + fine) / 2
    # Of 1e6 FLOPs a row: a kernel is resized for all rows by 2e4, and no
    # gradient of pictures is taken, 2 * 16 * 12 * 32 = 1e4 of a third of them.
    for term, expected in (
        ("online scoring", coarse),
        ("reference scoring", fine),
        ("learner training", mixed),
        (UNIFORM, 3 * fine),
    ):
        assert abs(flops[term] / expected - 1) < 0.01
