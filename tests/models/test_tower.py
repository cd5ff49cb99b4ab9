"""Images and texts embedded apart, as `predict` embeds pairs."""

import keras
import numpy as np
import pytest

from keras_jest import JESTModel
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder
from keras_jest.models import HubDualEncoder
from keras_jest.models import SigLIP
from keras_jest.models.tower import IMAGES

# One program and another: some roundings of numbers below 1, each of 6e-8.
EQUAL = {"rtol": 0, "atol": 1e-6}


def make_arrays(n=23):
    random = np.random.default_rng(0)
    return {
        "images": random.integers(0, 256, (n, 8, 8, 3)).astype("uint8"),
        "token_ids": random.integers(0, 20, (n, 5)).astype("int32"),
    }


def make_model(dtype=None):
    """Of towers that compile soon, and rescale pictures from 0 to 255."""
    model = DualEncoder(
        keras.Sequential(
            [
                keras.layers.Rescaling(1 / 255, dtype=dtype),
                keras.layers.Flatten(dtype=dtype),
                keras.layers.Dense(6, dtype=dtype),
            ]
        ),
        keras.Sequential(
            [
                keras.layers.Embedding(20, 6, dtype=dtype),
                keras.layers.GlobalAveragePooling1D(dtype=dtype),
            ]
        ),
        dtype=dtype,
    )
    model.build({"images": (None, 8, 8, 3), "token_ids": (None, 5)})
    return model


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return make_model()


@pytest.fixture(scope="module")
def pairs(model):
    return model.predict(make_arrays(), verbose=0)


def batches(arrays, size=10):
    for start in range(0, len(arrays["images"]), size):
        yield {key: of[start : start + size] for key, of in arrays.items()}


class Sequence(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, number):
        return (list(batches(make_arrays()))[number],)


def tf_data(arrays):
    tf = pytest.importorskip("tensorflow")
    images = tf.data.Dataset.from_tensor_slices(arrays["images"])
    return images.batch(10)


def grain_of_dicts(arrays):
    grain = pytest.importorskip("grain")
    rows = grain.MapDataset.range(len(arrays["images"]))
    return rows.map(lambda row: {k: v[row] for k, v in arrays.items()}).batch(
        10
    )


def loader_of_dicts(arrays):
    data = pytest.importorskip("torch").utils.data
    rows = [
        {key: of[row] for key, of in arrays.items()}
        for row in range(len(arrays["images"]))
    ]
    return data.DataLoader(rows, batch_size=10)


KINDS = {
    "array": lambda arrays: arrays["images"],
    "list": lambda arrays: list(arrays["images"]),
    "floats": lambda arrays: arrays["images"].astype("float32"),
    "dict": lambda arrays: {**arrays, "token_ids": np.zeros((2, 5))},
    "generator": lambda arrays: ((of["images"],) for of in batches(arrays)),
    "generator of dicts and labels": lambda arrays: (
        (of, of["token_ids"][:, 0]) for of in batches(arrays)
    ),
    "tf.data": tf_data,
    "grain": grain_of_dicts,
    "PyDataset": lambda arrays: Sequence(),
    "DataLoader": loader_of_dicts,
}


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("kind", KINDS)
def test_images_of_any_kind_are_those_of_pairs(model, pairs, kind):
    images = model.encode_images(KINDS[kind](make_arrays()), verbose=0)
    assert type(images) is np.ndarray and images.dtype == "float32"
    np.testing.assert_allclose(images, pairs["image_embedding"], **EQUAL)


def test_texts_are_those_of_pairs(model, pairs):
    texts = model.encode_texts(make_arrays()["token_ids"], 7, verbose=0)
    np.testing.assert_allclose(texts, pairs["text_embedding"], **EQUAL)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, **EQUAL)


@pytest.mark.once
def test_of_transformers():
    model = SigLIP(8, 4, 20, 5, width=8, depth=1, num_heads=2, mlp_dim=12)
    arrays = make_arrays(3)
    pairs = model.predict(arrays, verbose=0)
    images = model.encode_images(arrays["images"], verbose=0)
    texts = model.encode_texts(arrays["token_ids"], verbose=0)
    np.testing.assert_allclose(images, pairs["image_embedding"], **EQUAL)
    np.testing.assert_allclose(texts, pairs["text_embedding"], **EQUAL)


@pytest.mark.once
def test_of_a_backbone_of_keras_hub():
    models = pytest.importorskip("keras_hub").models
    sizes = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2}
    sizes["intermediate_dim"] = 12
    backbone = models.SigLIPBackbone(
        models.SigLIPVisionEncoder(4, image_shape=(8, 8, 3), **sizes),
        models.SigLIPTextEncoder(20, 8, max_sequence_length=5, **sizes),
    )
    model = HubDualEncoder(backbone)
    arrays = make_arrays(3)
    # Asked for before the model has ever been called.
    images = model.encode_images(arrays["images"], verbose=0)
    texts = model.encode_texts(arrays["token_ids"], verbose=0)
    pairs = model.predict(arrays, verbose=0)
    np.testing.assert_allclose(images, pairs["image_embedding"], **EQUAL)
    np.testing.assert_allclose(texts, pairs["text_embedding"], **EQUAL)


def test_in_bfloat16_rows_are_float32_of_length_one():
    model = make_model(dtype="mixed_bfloat16")
    arrays = make_arrays(4)
    images = model.encode_images(arrays["images"], verbose=0)
    expected = model.predict(arrays, verbose=0)["image_embedding"]
    # Two programs may round to bfloat16 at other places: 2**-8 each.
    np.testing.assert_allclose(images, expected, atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, **EQUAL)


def test_weights_and_compilation_are_those_of_the_model_now():
    model = make_model()
    arrays = make_arrays(8)
    before = model.encode_images(arrays["images"], verbose=0)
    trained = JESTModel(model)
    trained.compile("sgd", loss=SigmoidContrastiveLoss(), selection=None)
    trained.fit(arrays, batch_size=8, verbose=0)
    after = model.encode_images(arrays["images"], verbose=0)
    assert np.abs(after - before).max() > 1e-3
    expected = trained.predict(arrays, verbose=0)["image_embedding"]
    np.testing.assert_allclose(after, expected, **EQUAL)
    tower = model._towers[IMAGES]
    program = tower.predict_function
    model.encode_images(arrays["images"], verbose=0)
    assert tower.predict_function is program  # Compiled once.
    model.run_eagerly = True
    eager = model.encode_images(arrays["images"], verbose=0)
    assert tower.run_eagerly and tower.predict_function is not program
    np.testing.assert_allclose(eager, after, **EQUAL)


def test_a_model_that_has_embedded_is_saved_as_before(model, tmp_path):
    arrays = make_arrays(3)
    images = model.encode_images(arrays["images"], verbose=0)
    assert len(list(model._flatten_layers())) == len(
        list(make_model()._flatten_layers())
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = loaded.encode_images(arrays["images"], verbose=0)
    np.testing.assert_allclose(again, images, **EQUAL)


REFUSED = {
    "units": (
        lambda model: model.encode_images(np.full((2, 8, 8, 3), 0.3)),
        "Pictures must be from 0 to 255.*images of the model",
    ),
    "ids": (
        lambda model: model.encode_texts(np.full((2, 5), 20), verbose=0),
        "Token ids must be from 0 to 19.*token id 20",
    ),
    "captions": (
        lambda model: model.encode_texts(["a cat", "two dogs"]),
        "`token_ids` must be numbers.*by the tokenizer",
    ),
    "no rows": (
        lambda model: model.encode_images(np.zeros((0, 8, 8, 3))),
        r"at least one row.*\(0, 8, 8, 3\)",
    ),
    "other names": (
        lambda model: model.encode_images({"pictures": np.zeros((1, 8, 8, 3))}),
        r"reads 'images', which is not there.*\['pictures'\]",
    ),
    "unequal numbers": (
        lambda model: model.predict(
            {**make_arrays(5), "token_ids": np.zeros((2, 5), "int32")}
        ),
        r"as many images as texts.*\{'images': 5, 'token_ids': 2\}"
        ".*`encode_images`",
    ),
    "unequal numbers of a model around": (
        lambda model: JESTModel(model).predict(
            {**make_arrays(5), "token_ids": np.zeros((2, 5), "int32")}
        ),
        r"as many images as texts.*\{'images': 5, 'token_ids': 2\}",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_embedded_is_refused(model, name):
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call(model)
    # On JAX a step that fails would leave the model without weights.
    images = model.encode_images(make_arrays(2)["images"], verbose=0)
    assert np.isfinite(images).all()


def test_a_model_that_is_not_built():
    towers = [keras.Sequential([keras.layers.Dense(2)]) for _ in range(2)]
    model = DualEncoder(*towers)
    for call in (model.encode_images, model.encode_texts):
        with pytest.raises(ValueError, match="is not. Call it on a batch"):
            call(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="is not. Call it on a batch"):
        model.image_tower()
