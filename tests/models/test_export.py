"""What is exported says what `predict` says, and the docs say from where."""

import pathlib
import re

import keras
import keras_hub
import numpy as np
import pytest
from exported import FORMATS
from exported import assert_same_outputs
from exported import export
from exported import fixed_batch
from exported import free_batch
from exported import run

from keras_jest import ActiveCLIP
from keras_jest import ClassAct
from keras_jest import FlexiJEST
from keras_jest import JESTModel
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import DualEncoder
from keras_jest.models import HubDualEncoder
from keras_jest.models import SigLIP
from keras_jest.models.exports import input_specs

BACKEND = keras.backend.backend()
DOCS = pathlib.Path(__file__).parents[2] / "docs" / "export.md"
SIZES = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8}


def batch(num_rows=3, pictures="float32"):
    """Pictures from 0 to 255, or ready ones, and token ids."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3, 8, 8, 3)).astype(pictures)
    token_ids = random.integers(0, 20, (3, 4)).astype("int32")
    return {"images": images[:num_rows], "token_ids": token_ids[:num_rows]}


def ready_batch(num_rows=3):
    pictures = batch(num_rows)["images"] / np.float32(127.5) - 1
    return {**batch(num_rows), "images": pictures}


def float_batch(num_rows=3):
    """Keras takes all inputs of a subclass for floats."""
    return {k: v.astype("float32") for k, v in batch(num_rows).items()}


def loaded(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def plain_towers():
    images = [
        keras.layers.Rescaling(1 / 127.5, offset=-1.0),
        keras.layers.Conv2D(4, 4, strides=4, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(8),
    ]
    texts = [
        keras.layers.Embedding(20, 8),
        keras.layers.GlobalAveragePooling1D(),
    ]
    return keras.Sequential(images), keras.Sequential(texts)


class Plain(keras.Model):
    """What a user of Keras alone would write."""

    def __init__(self):
        super().__init__()
        self.image_encoder, self.text_encoder = plain_towers()
        self.norm = keras.layers.LayerNormalization()
        self.attention = keras.layers.MultiHeadAttention(2, 4)

    def call(self, inputs):
        image = self.norm(self.image_encoder(inputs["images"]))[:, None]
        text = self.text_encoder(inputs["token_ids"])[:, None]
        return {"image": self.attention(image, text)[:, 0], "text": text[:, 0]}


def plain(folder):
    model = Plain()
    model(float_batch())
    return model, float_batch


def siglip(patch_sizes=None):
    return SigLIP(
        image_size=8,
        patch_size=4,
        vocabulary_size=20,
        sequence_length=4,
        width=8,
        depth=1,
        num_heads=2,
        mlp_dim=16,
        patch_sizes=patch_sizes,
    )


def ours(folder):
    return loaded(siglip(patch_sizes=(2, 4)), folder), batch


def backbone():
    models = keras_hub.models
    sizes = {**SIZES, "intermediate_dim": 12}
    return models.SigLIPBackbone(
        models.SigLIPVisionEncoder(
            patch_size=4, image_shape=(8, 8, 3), **sizes
        ),
        models.SigLIPTextEncoder(
            vocabulary_size=20, embedding_dim=8, max_sequence_length=4, **sizes
        ),
    )


def plain_hub(folder):
    model = backbone()
    model(ready_batch())
    return model, ready_batch


def our_hub(folder):
    model = HubDualEncoder(backbone(), logit_scale=10, logit_bias=-10)
    return loaded(model, folder), ready_batch


COLUMNS = [plain, ours, plain_hub, our_hub]
# What Keras does with models of its own is looked at once in CI.
slow = pytest.mark.slow
CELLS = [pytest.param(0, marks=slow), 1, pytest.param(2, marks=slow), 3]


def table_in_docs():
    """The cells of the table: lists of strings by backend and format."""
    row = re.compile(r"^\| (\w+) \| `(\w+)` \| (.*) \|$", re.MULTILINE)
    found = row.findall(DOCS.read_text())
    return {cells[:2]: cells[2].split(" | ") for cells in found}


def takes(model, format, make_batch, folder):
    """What an exported model takes, where its numbers are right."""
    batches = [make_batch(1), make_batch(3)]
    try:
        free = free_batch(format, batches[0])
        path = export(model, format, folder, **free)
        outputs = [run(path, batch) for batch in batches]
    except Exception:
        signature = fixed_batch(batches[1])
        path = export(model, format, folder, input_signature=signature)
        batches = batches[1:]
        outputs = [run(path, batch) for batch in batches]
    for got, inputs in zip(outputs, batches, strict=True):
        expected = model.predict(inputs, verbose=0)
        if set(got) != set(expected):  # Keras numbers outputs on torch.
            got = dict(zip(expected, got.values(), strict=True))
        assert_same_outputs(got, expected)
    return "any size" if len(batches) > 1 else "one size"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("column", CELLS)
def test_table_of_the_docs(column, format, tmp_path):
    model, make_batch = COLUMNS[column](tmp_path)
    found = takes(model, format, make_batch, tmp_path / "exported")
    assert found == table_in_docs()[BACKEND, format][column]


def test_table_of_the_docs_is_whole():
    rows = [format for backend, format in table_in_docs() if backend == BACKEND]
    assert rows == FORMATS


STATES = {
    "built": lambda model: model.build(
        {"images": (None, 8, 8, 3), "token_ids": (None, 4)}
    ),
    "called": lambda model: model({**batch(), "key": np.zeros((3, 4))}),
    "predicted": lambda model: model.predict(batch(), verbose=0),
    "fitted": lambda model: fitted(model),
}


def fitted(model):
    trainer = JESTModel(model, seed=0)
    trainer.compile("sgd", SigmoidContrastiveLoss(), selection=None)
    trainer.fit(batch(), verbose=0)
    return trainer


@pytest.mark.parametrize("state", [*STATES, "loaded"])
def test_every_state(state, tmp_path):
    model = DualEncoder(*plain_towers())
    STATES.get(state, STATES["called"])(model)
    if state == "loaded":
        model = loaded(model, tmp_path)
    free = free_batch(FORMATS[0], batch())
    path = export(model, FORMATS[0], tmp_path / "exported", **free)
    assert_same_outputs(run(path, batch()), model.predict(batch(), verbose=0))


@pytest.mark.parametrize(
    "tower, format",
    [("image_encoder", FORMATS[0]), *(("text_encoder", of) for of in FORMATS)],
)
def test_a_tower_alone(tower, format, tmp_path):
    model = siglip()
    model.predict(batch(), verbose=0)
    tower = getattr(model, tower)
    key = "images" if tower is model.image_encoder else "token_ids"
    free = free_batch(format, batch()[key])
    path = export(tower, format, tmp_path / "exported", **free)
    expected = tower.predict(batch()[key], verbose=0)
    for num_rows in (1, 3):
        got = run(path, batch(num_rows)[key])
        assert_same_outputs(got, expected[:num_rows])


@pytest.mark.parametrize("format", FORMATS)
def test_plain_towers_of_a_loaded_model(format, tmp_path):
    model = DualEncoder(*plain_towers())
    model(batch())
    model = loaded(model, tmp_path)
    for key in ("image", "text"):
        tower = getattr(model, f"{key}_encoder")
        inputs = float_batch()["images" if key == "image" else "token_ids"]
        free = free_batch(format, inputs)
        path = export(tower, format, tmp_path / "exported", **free)
        expected = tower.predict(inputs, verbose=0)
        assert_same_outputs(run(path, inputs), expected)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("make", [plain_towers, backbone])
def test_pictures_as_uint8(make, format, tmp_path):
    """As many as are asked for: a backbone on torch takes no others."""
    if make is backbone:
        model = HubDualEncoder(backbone())
    else:
        model = DualEncoder(*make())
    inputs = batch(pictures="uint8")
    model(inputs)
    signature = fixed_batch(inputs)
    folder = tmp_path / "exported"
    path = export(model, format, folder, input_signature=signature)
    assert_same_outputs(run(path, inputs), model.predict(inputs, verbose=0))


def test_what_a_model_reads():
    """The same in every state, and what was declared where something was."""
    images, texts = keras.Input((6,), dtype="uint8"), keras.Input((3,))
    model = DualEncoder(
        keras.Model(images, keras.layers.Dense(8)(images)),
        keras.Model(texts, keras.layers.Dense(8)(texts)),
        input_keys=("pictures", "captions"),
    )
    rows = {"pictures": np.zeros((3, 6)), "captions": np.zeros((3, 3))}
    model({**rows, "key": np.zeros((3, 4))})
    specs = input_specs(model)
    assert [(name, spec.shape, spec.dtype) for name, spec in specs.items()] == [
        ("pictures", (None, 6), "uint8"),
        ("captions", (None, 3), "float32"),
    ]
    specs = input_specs(siglip())
    assert [spec.dtype for spec in specs.values()] == ["float32", "int32"]


def test_a_model_that_is_not_built(tmp_path):
    with pytest.raises(ValueError, match="Received: 'pair', which is not"):
        DualEncoder(*plain_towers(), name="pair").export(tmp_path / "model")


@pytest.mark.parametrize(
    "make",
    [
        JESTModel,
        lambda learner: ClassAct(learner, seed=0),
        lambda learner: ActiveCLIP(learner, seed=0),
        lambda learner: FlexiJEST(learner, coarse_size=4),
    ],
    ids=["JESTModel", "ClassAct", "ActiveCLIP", "FlexiJEST"],
)
def test_a_trainer_exports_its_learner(make, tmp_path):
    learner = DualEncoder(*plain_towers())
    learner.build({"images": (None, 8, 8, 3), "token_ids": (None, 4)})
    model = make(learner)
    format = FORMATS[0]
    free = free_batch(format, batch())
    path = export(model, format, tmp_path / "exported", **free)
    expected = model.predict(batch(), verbose=0)
    assert_same_outputs(run(path, batch()), expected)


def test_a_loaded_trainer(tmp_path):
    trainer = fitted(DualEncoder(*plain_towers()))
    trainer = loaded(trainer, tmp_path)
    free = free_batch(FORMATS[0], batch())
    path = export(trainer, FORMATS[0], tmp_path / "exported", **free)
    expected = trainer.learner.predict(batch(), verbose=0)
    assert_same_outputs(run(path, batch()), expected)


@pytest.mark.parametrize(
    "format", sorted({*"onnx litert torch tf_saved_model".split()} - {*FORMATS})
)
def test_other_formats_are_refused_as_keras_does(format, tmp_path):
    models = [DualEncoder(*plain_towers()), Plain()]
    errors = []
    for model in models:
        model(batch())
        with pytest.raises(Exception) as caught:
            export(model, format, tmp_path / "exported")
        errors.append(caught)
    assert errors[0].type is errors[1].type
    assert str(errors[0].value) == str(errors[1].value)


@pytest.mark.skipif(BACKEND != "torch", reason="torch alone has two exporters")
def test_both_exporters_of_torch_are_asked(tmp_path):
    """The newer one cannot trace a masked GRU for batches of any size."""
    texts = keras.Input((4,), dtype="int32")
    embedding = keras.layers.Embedding(20, 8, mask_zero=True)(texts)
    tower = keras.Model(texts, keras.layers.GRU(8)(embedding))
    model = DualEncoder(plain_towers()[0], tower)
    model(batch())
    path = export(model, "onnx", tmp_path / "exported")
    expected = model.predict(batch(), verbose=0)
    got = dict(zip(expected, run(path, batch()).values(), strict=True))
    assert_same_outputs(got, expected)


@pytest.mark.skipif(BACKEND != "torch", reason="elsewhere it is exported")
def test_what_torch_exports_for_one_size_only(tmp_path):
    model = HubDualEncoder(backbone(), name="hub")
    with pytest.raises(ValueError, match="a layer of 'hub' for batches of one"):
        export(model, "onnx", tmp_path / "exported")
