"""The guides on selection policies, and the scores that they define."""

import ast
import math
import pathlib

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image
from test_examples import run

from keras_jest import ClassAct
from keras_jest import JESTModel
from keras_jest.losses import LossGivenSet
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.losses import given
from keras_jest.models import DualEncoder
from keras_jest.models import make_pairs

ROOT = pathlib.Path(__file__).parents[2]
CHOOSING = "guides/choosing_a_selection_policy.py"
COSTS = "guides/what_selection_costs.py"
WRITING = "guides/writing_your_own_policy.py"
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "guide, said, picture",
    [
        (CHOOSING, "online, stored losses", "gain"),
        (COSTS, "S          0.79    0.70    0.59", "break_even"),
        (WRITING, "concept balance", "labels_kept"),
    ],
)
def test_a_guide_runs(guide, said, picture, tmp_path):
    output = run(guide, folder=tmp_path, NUM_EPOCHS="2", NUM_PAIRS="1280")
    assert said in output
    with Image.open(tmp_path / "results" / f"{picture}.png") as image:
        assert min(image.size) > 300


def defined_names(node):
    """What a statement of the guide defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else []
    return {name.id for name in targets if isinstance(name, ast.Name)}


def is_import(node):
    """Whether a statement imports what a score may need."""
    if isinstance(node, ast.ImportFrom):
        return node.module.split(".")[0] in ("keras", "keras_jest")
    names = node.names if isinstance(node, ast.Import) else []
    return any(name.name in ("keras", "math") for name in names)


@pytest.fixture(scope="module")
def guide():
    """The guides' own definitions, without the runs around them."""
    writing = {
        "GradientNormBound", "SelectiveBackprop", "InfoBatchStyle", "highest",
        "clip_score", "own_similarity", "TrustedRows", "bounded",
    }  # fmt: skip
    costs = {"break_even", "forward"}
    return {**definitions(WRITING, writing), **definitions(COSTS, costs)}


def definitions(guide, wanted):
    """What a guide defines by these names, and what that imports."""
    tree = ast.parse((ROOT / guide).read_text())
    body = [
        node
        for node in tree.body
        if is_import(node) or wanted & defined_names(node)
    ]
    namespace = {"__name__": "guide"}
    exec(compile(ast.Module(body, []), guide, "exec"), namespace)
    assert wanted <= set(namespace)
    return namespace


def as_losses(values):
    return LossGivenSet(ops.convert_to_tensor(np.asarray(values, "float32")))


def select(policy, values, seed=0):
    """Picks of a policy that reads the learner's losses."""
    losses, nothing = as_losses(values), as_losses(np.zeros(len(values)))
    seed = ops.convert_to_tensor(seed, dtype="int32")
    return to_numpy(policy.select(losses, nothing, seed))


def to_numpy(tensor):
    return ops.convert_to_numpy(tensor)


def probabilities(logits):
    powers = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    return powers / np.sum(powers, axis=1, keepdims=True)


def distances(logits, labels):
    """Between the probabilities and the labels, row by row."""
    difference = probabilities(logits.astype("float64"))
    difference[np.arange(len(labels)), labels] -= 1
    return np.sqrt(np.sum(difference**2, axis=1))


def losses_of(logits, labels):
    rows = np.arange(len(labels))
    return -np.log(probabilities(logits.astype("float64"))[rows, labels])


class Keeper:
    """Stands for a policy's draw, and keeps the scores that it is given."""

    def num_kept(self, num_rows):
        return num_rows

    def select(self, learner, reference, seed):
        self.scores = to_numpy(learner.values)
        return ops.arange(len(self.scores))


# The gradient-norm bound.


@pytest.mark.once
def test_gradient_norm_bound(guide):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20, 5), scale=3).astype("float32")
    labels = rng.integers(0, 5, 20)
    loss = guide["GradientNormBound"]()
    np.testing.assert_allclose(
        to_numpy(loss.call(ops.convert_to_tensor(labels), logits)),
        distances(logits, labels),
        rtol=1e-5,
        atol=1e-6,
    )


# Selective-Backprop.


@pytest.mark.once
def test_selective_backprop_remembers_the_last_losses(guide):
    values = np.random.default_rng(0).exponential(size=26)
    policy = guide["SelectiveBackprop"](history=16, power=3.0)
    policy.policy = Keeper()
    for first, last in ((0, 6), (6, 12), (12, 20), (20, 26)):
        select(policy, values[first:last])
        ring = np.concatenate([np.full(16, np.inf), values[:last]])[-16:]
        ring = ring.astype("float32")
        np.testing.assert_array_equal(to_numpy(policy.ring), ring)
        batch = values[first:last].astype("float32")
        is_below = ring[None, :] <= batch[:, None]
        expected = 3 * np.log(np.sum(is_below, axis=1))
        np.testing.assert_allclose(policy.policy.scores, expected, rtol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("power", [1.0, 3.0])
def test_selective_backprop_draws_by_percentile(guide, power):
    """A hundredth is kept, so that what is gone hardly matters."""
    num_rows, num_bins = 2000, 5
    values = np.random.default_rng(0).exponential(size=num_rows)
    policy = guide["SelectiveBackprop"](0.99, power, num_rows)
    picks = np.concatenate(
        [select(policy, values, seed) for seed in range(100)]
    )
    place = np.argsort(np.argsort(values))[picks]
    counts = np.bincount(place * num_bins // num_rows, minlength=num_bins)
    edges = np.linspace(0, 1, num_bins + 1)
    expected = len(picks) * np.diff(edges ** (power + 1))
    assert len(picks) == 2000
    assert np.all(np.diff(counts) > 0)
    deviation = np.abs(counts - expected)
    assert np.all(deviation < 4 * np.sqrt(expected) + 0.01 * len(picks))


# In the style of InfoBatch.


@pytest.mark.once
def test_infobatch_style_follows_the_mean(guide):
    values = np.random.default_rng(0).exponential(size=(3, 10))
    policy = guide["InfoBatchStyle"](momentum=0.8)
    means = []
    for batch in values:
        select(policy, batch)
        means.append(float(policy.mean))
    first, second, third = values.mean(axis=1)
    expected = [first, 0.8 * first + 0.2 * second]
    expected.append(0.8 * expected[1] + 0.2 * third)
    np.testing.assert_allclose(means, expected, rtol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.6])
def test_infobatch_style_drops_at_the_rate(guide, rate):
    num_rows, num_draws = 400, 100
    values = np.random.default_rng(0).exponential(size=num_rows)
    policy = guide["InfoBatchStyle"](0.5, rate)
    picks = np.concatenate(
        [select(policy, values, seed) for seed in range(num_draws)]
    )
    is_low = values < values.mean()
    low, high = np.mean(is_low[picks]), np.mean(~is_low[picks])
    left = (1 - rate) * np.mean(is_low)
    expected = left / (left + np.mean(~is_low))
    assert abs(low - expected) < 4 * math.sqrt(0.25 / len(picks))
    odds = (low / np.mean(is_low)) / (high / np.mean(~is_low))
    assert abs(odds - (1 - rate)) < 0.05
    assert odds < 1.05


@pytest.mark.once
def test_infobatch_style_keeps_dropped_rows_only_to_fill(guide):
    values = np.random.default_rng(0).exponential(size=60)
    is_high = values >= values.mean()
    few = guide["InfoBatchStyle"](sub_batch_share(is_high, -2), rate=1.0)
    assert np.all(is_high[select(few, values)])
    many = guide["InfoBatchStyle"](sub_batch_share(is_high, 7), rate=1.0)
    picks = select(many, values)
    assert len(set(picks)) == len(picks) == np.sum(is_high) + 7
    np.testing.assert_array_equal(np.sort(picks[:-7]), np.flatnonzero(is_high))


def sub_batch_share(is_high, more):
    """The filter ratio that keeps so many more rows than the high ones."""
    return 1 - (np.sum(is_high) + more) / len(is_high)


@pytest.mark.once
def test_infobatch_style_draws_rows_that_are_not_finite_last(guide):
    values = np.random.default_rng(0).exponential(size=20)
    policy = guide["InfoBatchStyle"](0.5)
    select(policy, values)
    last = float(policy.mean)
    values[3] = np.nan
    for seed in range(8):
        policy.mean.assign(last)
        assert 3 not in select(policy, values, seed)
    assert len(set(select(policy, values[4:]))) == 8
    assert np.isfinite(float(policy.mean))


# A score, and a policy that reads a column.


@pytest.mark.once
def test_bounded_stops_at_its_bound(guide):
    learner, reference = ops.array([3.0, 1.0, 0.2]), ops.array([1.0, 0.8, 0.6])
    np.testing.assert_allclose(
        to_numpy(guide["bounded"](learner, reference)),
        [0.5, 0.2, -0.4],
        rtol=1e-5,
    )


@pytest.mark.once
def test_trusted_rows_are_drawn_by_their_trust(guide):
    """One of 4 rows, 600 times: the odds are those of the column."""
    trust = np.array([0.0, 0.2, 0.3, 0.5], "float32")
    policy, nothing = guide["TrustedRows"](sub_batch_size=1), np.zeros(4)
    losses = as_losses(nothing)
    picks = np.concatenate(
        [
            to_numpy(
                policy.select(
                    losses,
                    losses,
                    ops.convert_to_tensor(seed, dtype="int32"),
                    trust=ops.convert_to_tensor(trust),
                )
            )
            for seed in range(600)
        ]
    )
    shares = np.bincount(picks, minlength=4) / 600
    expected = (trust + 1e-3) / np.sum(trust + 1e-3)
    # Four standard deviations of a share of 600 draws.
    assert np.all(np.abs(shares - expected) < 4 * math.sqrt(0.25 / 600))


# Under `fit`.


def labelled():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 6)).astype("float32")
    return x, rng.integers(0, 3, 40).astype("int32")


def fitted(guide, name, seed=0):
    """A run of two steps, in which nothing changes but the memory."""
    keras.utils.set_random_seed(0)
    learner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    if name == "GradientNormBound":
        model = ClassAct(learner, seed=seed)
        arguments = {
            "selection": guide["highest"],
            "score_loss": guide["GradientNormBound"](),
        }
    else:
        policy = guide[name]()
        model = ClassAct(learner, seed=seed, policy=policy)
        arguments = {"selection": policy}
    model.compile(keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY, **arguments)
    return model, two_steps(model, *labelled())


def two_steps(model, *data):
    picks = []
    model.recorders = (lambda chosen: picks.append(to_numpy(chosen["picks"])),)
    model.fit(*data, batch_size=20, shuffle=False, verbose=0)
    return picks


@pytest.mark.parametrize(
    "name",
    [
        "SelectiveBackprop",
        pytest.param("InfoBatchStyle", marks=pytest.mark.once),
    ],
)
def test_policies_with_a_memory_in_a_run(guide, name, tmp_path):
    model, picks = fitted(guide, name)
    assert [len(set(rows)) for rows in picks] == [10, 10]
    assert sorted(picks[0]) != sorted(picks[1])
    np.testing.assert_array_equal(picks, fitted(guide, name)[1])
    assert not np.array_equal(picks, fitted(guide, name, seed=1)[1])
    x, y = labelled()
    losses = losses_of(to_numpy(model.learner(x)), y)
    if name == "SelectiveBackprop":
        ring = to_numpy(model.policy.ring)
        assert np.all(np.isinf(ring[:-40]))
        np.testing.assert_allclose(ring[-40:], losses, rtol=1e-4)
    else:
        mean = 0.9 * losses[:20].mean() + 0.1 * losses[20:].mean()
        np.testing.assert_allclose(float(model.policy.mean), mean, rtol=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        *(to_numpy(of.policy.variables[0]) for of in (loaded, model))
    )
    np.testing.assert_array_equal(
        *(two_steps(of, x, y) for of in (loaded, model))
    )


@pytest.mark.once
def test_gradient_norm_bound_in_a_run(guide):
    model, picks = fitted(guide, "GradientNormBound")
    x, y = labelled()
    scores = distances(to_numpy(model.learner(x)), y).reshape(2, 20)
    np.testing.assert_array_equal(picks, np.argsort(-scores)[:, :10])


# CLIP-score.


def cosines(images, texts):
    norms = np.linalg.norm(images, axis=1) * np.linalg.norm(texts, axis=1)
    return np.sum(images * texts, axis=1) / norms


@pytest.mark.once
def test_clip_score_takes_the_most_similar(guide):
    images, texts = np.random.default_rng(0).normal(size=(2, 40, 4))
    pairs = make_pairs(images, texts, logit_scale=7.0, logit_bias=-2.0)
    policy = guide["clip_score"]
    assert policy.needs == ("reference",)
    losses = given(guide["own_similarity"], pairs)
    nothing, seed = as_losses(np.zeros(40)), ops.convert_to_tensor(0, "int32")
    picks = to_numpy(policy.select(nothing, losses, seed))
    expected = np.argsort(-cosines(images, texts))[:12]
    np.testing.assert_array_equal(picks, expected)


@pytest.mark.once
def test_clip_score_in_a_run(guide):
    def encoder():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])

    images, texts = np.random.default_rng(0).normal(size=(2, 40, 4))
    pool = {"images": images, "token_ids": texts}
    pool = {name: of.astype("float32") for name, of in pool.items()}
    reference = DualEncoder(encoder(), encoder())
    model = JESTModel(DualEncoder(encoder(), encoder()), reference, seed=0)
    model.compile(
        "adam",
        loss=SigmoidContrastiveLoss(),
        selection=guide["clip_score"],
        score_loss=guide["own_similarity"],
    )
    picks = two_steps(model, pool)
    embedded = [
        to_numpy(tower(pool[name]))
        for tower, name in (
            (reference.image_encoder, "images"),
            (reference.text_encoder, "token_ids"),
        )
    ]
    scores = cosines(*embedded).reshape(2, 20)
    np.testing.assert_array_equal(picks, np.argsort(-scores)[:, :6])


# The cost.


@pytest.mark.once
def test_break_even(guide):
    expected = {
        "Ti": [0.94, 0.90, 0.85],
        "S": [0.79, 0.70, 0.59],
        "B": [0.43, 0.32, 0.22],
    }
    forward = guide["forward"]
    for scorer, betas in expected.items():
        phi = forward[scorer] / forward["L"]
        for rho, beta in zip((2, 5, 10), betas, strict=True):
            computed = guide["break_even"](forward["L"], forward[scorer], rho)
            assert round(computed, 2) == beta
            formula = (1 - phi) / (1 + 2 * rho * phi / 3 + phi)
            np.testing.assert_allclose(computed, formula, rtol=1e-12)
