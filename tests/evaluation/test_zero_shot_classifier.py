"""Zero-shot classification against loops over prompts, classes and rows."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_jest import JESTModel
from keras_jest.evaluation import ZeroShotClassifier
from keras_jest.evaluation.class_ranks import ClassRanks
from keras_jest.evaluation.class_ranks import accuracies
from keras_jest.models import DualEncoder

LENGTH, WIDTH = 40, 7
NAMES = ["cat", "dog", "a {} {c}", "fire engine", "owl", "bee", "whale"]
TEMPLATES = ["a photo of a {}.", "{}", "art of the {c} in {brackets}"]
PICTURES = {"uint8": (0, 256), "float32": (-3, 3)}


class Letters:
    """A tokenizer of no library, which counts its calls."""

    def __init__(self):
        self.num_captions = []

    def __call__(self, captions):
        self.num_captions.append(len(captions))
        rows = [list(of.encode())[:LENGTH] for of in captions]
        return [row + [0] * (LENGTH - len(row)) for row in rows]


def make_model():
    return DualEncoder(
        keras.Sequential(
            [
                keras.Input((2, 2, 3)),
                keras.layers.Flatten(),
                keras.layers.Dense(WIDTH, name="dense"),
            ]
        ),
        keras.Sequential(
            [
                keras.Input((LENGTH,), dtype="int32"),
                keras.layers.Embedding(128, WIDTH, "normal"),
                keras.layers.GlobalAveragePooling1D(),
            ]
        ),
    )


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    model = make_model()
    shapes = {"images": (None, 2, 2, 3), "token_ids": (None, LENGTH)}
    model.build(shapes)
    return model


def make_data(dtype="float32", n=60, num_classes=7):
    random = np.random.default_rng(5)
    images = random.uniform(*PICTURES[dtype], (n, 2, 2, 3)).astype(dtype)
    # The last class has no pictures where there are others.
    labels = random.integers(0, max(1, num_classes - 1), n)
    return images, labels


def to_unit(row):
    return row / np.sqrt(np.sum(row**2))


def slow_classes(model, names, templates):
    table = keras.ops.convert_to_numpy(model.text_encoder.layers[0].embeddings)
    classes = []
    for name in names:
        total = np.zeros(WIDTH)
        for template in templates:
            place = "{}" if "{}" in template else "{c}"
            before, after = template.split(place)
            ids = list((before + name + after).encode())[:LENGTH]
            ids += [0] * (LENGTH - len(ids))
            total += to_unit(np.mean([table[i] for i in ids], axis=0))
        classes.append(to_unit(total / len(templates)))
    return np.stack(classes)


def slow_metrics(model, images, labels, names, templates):
    classes = slow_classes(model, names, templates)
    kernel, bias = model.image_encoder.get_layer("dense").get_weights()
    hits, hits_5, by_class = [], [], {}
    for image, label in zip(images, labels, strict=True):
        flat = image.reshape(-1).astype("float64")
        similarity = classes @ to_unit(flat @ kernel + bias)
        order = np.argsort(-similarity, kind="stable")
        hits.append(order[0] == label)
        hits_5.append(label in order[:5])
        by_class.setdefault(int(label), []).append(order[0] == label)
    means = [np.mean(of) for of in by_class.values()]
    metrics = {"acc1": np.mean(hits), "mean_per_class_recall": np.mean(means)}
    if len(names) >= 5:
        metrics["acc5"] = np.mean(hits_5)
    return metrics


@pytest.mark.parametrize(
    ("dtype", "names", "templates"),
    [
        ("float32", NAMES, TEMPLATES),
        ("uint8", NAMES, ["a photo of a {c}."]),
        ("float32", NAMES[:4], TEMPLATES),
        ("float32", NAMES[:1], TEMPLATES),
    ],
)
def test_metrics_are_those_of_loops(model, dtype, names, templates):
    images, labels = make_data(dtype, num_classes=len(names))
    classifier = ZeroShotClassifier(model, Letters(), names, templates)
    metrics = classifier.evaluate(images, labels, batch_size=16, verbose=0)
    expected = slow_metrics(model, images, labels, names, templates)
    assert metrics == pytest.approx(expected, abs=1e-12)
    assert all(type(of) is float for of in metrics.values())
    # Float32 sums of some 40 numbers of length 1: 40 times 6e-8.
    np.testing.assert_allclose(
        classifier.class_embeddings(verbose=0),
        slow_classes(model, names, templates),
        atol=2.5e-6,
    )
    similarity = classifier.predict(images, verbose=0)
    assert similarity.shape == (len(images), len(names))
    found = np.mean(similarity.argmax(axis=1) == labels)
    assert found == pytest.approx(metrics["acc1"])


def tf_data(images, labels):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)


def grain_data(images, labels):
    grain = pytest.importorskip("grain")
    rows = grain.MapDataset.range(len(labels))
    return rows.map(lambda row: (images[row], labels[row])).batch(16)


def data_loader(images, labels):
    data = pytest.importorskip("torch").utils.data
    rows = list(zip(images, labels, strict=True))
    return data.DataLoader(rows, batch_size=16)


def generator(images, labels):
    for start in range(0, len(labels), 16):
        rows = slice(start, start + 16)
        # Dicts, and a column of labels, as some datasets have them.
        yield {"images": images[rows], "key": labels[rows]}, labels[rows, None]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("make", [tf_data, grain_data, data_loader, generator])
def test_datasets_give_what_arrays_give(model, make):
    images, labels = make_data()
    tokenizer = Letters()
    classifier = ZeroShotClassifier(model, tokenizer, NAMES, TEMPLATES)
    expected = classifier.evaluate(images, labels, batch_size=16, verbose=0)
    tokenizer.num_captions.clear()
    assert classifier.evaluate(make(images, labels), verbose=0) == expected
    # Classes are embedded once, however many batches there are.
    assert tokenizer.num_captions == [len(NAMES) * len(TEMPLATES)]


def test_many_prompts_are_embedded_in_parts(model, monkeypatch):
    from keras_jest.evaluation import zero_shot_classifier

    monkeypatch.setattr(zero_shot_classifier, "PROMPTS_AT_A_TIME", 8)
    tokenizer = Letters()
    classifier = ZeroShotClassifier(model, tokenizer, NAMES, TEMPLATES)
    tokenizer.num_captions.clear()
    classes = classifier.class_embeddings(batch_size=4, verbose=0)
    assert tokenizer.num_captions == [8, 8, 5]
    expected = slow_classes(model, NAMES, TEMPLATES)
    np.testing.assert_allclose(classes, expected, atol=2.5e-6)


def test_weights_are_those_of_the_model_now(model):
    images, labels = make_data()
    classifier = ZeroShotClassifier(model, Letters(), NAMES, TEMPLATES)
    before = classifier.evaluate(images, labels, verbose=0)
    dense = model.image_encoder.get_layer("dense")
    kernel, bias = dense.get_weights()
    dense.set_weights([-kernel, bias])
    after = classifier.evaluate(images, labels, verbose=0)
    expected = slow_metrics(model, images, labels, NAMES, TEMPLATES)
    dense.set_weights([kernel, bias])
    assert after == pytest.approx(expected, abs=1e-12)
    assert after != before


def test_of_equal_similarities_the_lower_class_is_found():
    ranks = ClassRanks(6, 2)
    ranks.classes.assign([[0, 1], [1, 0], [1, 0], [0, 1], [np.nan, 0], [1, 0]])
    rows = np.array([[1.0, 0.0]] * 6 + [[np.nan, 1.0]], "float32")
    labels = np.array([0, 1, 2, 3, 4, 5, 1])
    found = ranks(rows, labels)
    # One class is not finite, and ahead of all; so is the last picture.
    expected = [4, 1, 2, 5, 6, 3, 6]
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(found["ranks"]), expected
    )


@pytest.mark.once
@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.integers(1, 30), st.integers(0, 99))
def test_accuracies_are_those_of_loops(num_classes, n, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, num_classes, n)
    ranks = random.integers(0, num_classes, n)
    recalls = [
        sum(1 for a, b in zip(labels, ranks, strict=True) if a == c and b == 0)
        / sum(1 for a in labels if a == c)
        for c in set(labels.tolist())
    ]
    expected = {
        "acc1": sum(1 for of in ranks if of == 0) / n,
        "mean_per_class_recall": sum(recalls) / len(recalls),
    }
    if num_classes >= 5:
        expected["acc5"] = sum(1 for of in ranks if of < 5) / n
    assert accuracies(labels, ranks, num_classes) == pytest.approx(expected)


def classify(model, **changed):
    arguments = {
        "model": model,
        "tokenizer": Letters(),
        "class_names": NAMES,
        "templates": TEMPLATES,
        "images": make_data()[0],
        "labels": make_data()[1],
        **changed,
    }
    data = [arguments.pop(name) for name in ("images", "labels")]
    return ZeroShotClassifier(**arguments).evaluate(*data, verbose=0)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"class_names": "cat"}, "`class_names` must be a list of str.*'cat'"),
        ({"class_names": []}, r"class_names=\[\]"),
        ({"class_names": [1, 2]}, r"class_names=\[1, 2\]"),
        ({"templates": "a {}"}, "`templates` must be a list of str.*'a {}'"),
        ({"templates": ["a photo"]}, r"templates=\['a photo'\]"),
        ({"templates": []}, "at least one, each with"),
        ({"tokenizer": str.split}, "The tokenizer split must turn a list"),
        ({"labels": None}, "Pictures need labels"),
        ({"labels": [0, 1]}, r"a label for each row.*\(2,\)"),
        ({"labels": np.full(60, 7)}, "from 0 to 6.*60 labels outside.*as 7"),
        ({"labels": np.full(60, -1)}, "60 labels outside, such as -1"),
        ({"labels": np.ones(60)}, r"must be ints of shape \(n,\).*float"),
        ({"labels": np.eye(7, dtype=int)}, r"int64 and shape \(7, 7\)"),
        (
            {"images": generator(*make_data())},
            "a dataset yields its labels itself",
        ),
        (
            {
                "images": generator(make_data()[0], np.arange(60) // 8),
                "labels": None,
            },
            "4 labels outside, such as 7",
        ),
        (
            {
                "images": generator(make_data()[0], np.eye(60)),
                "labels": None,
            },
            "Labels must be ints",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_refused(model, changed, message):
    with pytest.raises(ValueError, match=message):
        classify(model, **changed)
    # On JAX a step that fails would leave the model without weights.
    assert np.isfinite(model.get_weights()[0]).all()


def test_a_model_around_is_refused(model):
    with pytest.raises(ValueError, match="Of a `JESTModel` pass its `learner`"):
        classify(JESTModel(model))
