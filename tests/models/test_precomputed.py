import io

import keras
import numpy as np
import pytest
from check_layer import check_layer
from check_layer import make_with_policy
from check_layer import to_numpy
from PIL import Image
from store_writer import make_columns
from store_writer import make_keys
from store_writer import make_metadata
from store_writer import write_store

from keras_jest import JESTModel
from keras_jest import JointSelection
from keras_jest.data import ReferenceStore
from keras_jest.data import super_batches
from keras_jest.losses import SigmoidContrastiveLoss
from keras_jest.models import Precomputed
from keras_jest.models import PrecomputedLosses
from keras_jest.models import SigLIP
from keras_jest.models import precompute

SIDES = ("image", "text")
NAMES = ("reference_image_embedding", "reference_text_embedding")


def embeddings(dtype="float32", n=5, d=4):
    random = np.random.default_rng(0)
    rows = random.normal(size=(2, n, d))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return dict(zip(NAMES, rows.astype(dtype), strict=True))


def pool(n=6):
    random = np.random.default_rng(0)
    return {
        "key": np.zeros((n, 4), "int32"),
        "images": random.integers(0, 256, (n, 8, 8, 3)).astype("uint8"),
        "token_ids": random.integers(0, 20, (n, 5)).astype("int32"),
    }


def reference(**kwargs):
    return SigLIP(
        8, 4, 20, 5, width=8, depth=1, num_heads=2, mlp_dim=12, **kwargs
    )


def test_contract(tmp_path):
    check_layer(lambda: Precomputed(99.7, -12.9), embeddings(), tmp_path)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "bfloat16"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_pairs_are_float32_and_exact(policy, dtype):
    model = make_with_policy(lambda: Precomputed(99.7, -12.9), policy)
    assert not model.weights
    batch = embeddings(dtype)
    pairs = model(batch)
    for values in pairs.values():
        assert keras.backend.standardize_dtype(values.dtype) == "float32"
    pairs = to_numpy(pairs)
    np.testing.assert_allclose(pairs["logit_scale"], 99.7, rtol=1e-6)
    np.testing.assert_allclose(pairs["logit_bias"], -12.9, rtol=1e-6)
    for name in NAMES:
        rows = batch[name].astype("float64")
        rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
        got = pairs[name.removeprefix("reference_")]
        np.testing.assert_allclose(got, rows, atol=2e-7)


def test_missing_embedding():
    batch = embeddings()
    del batch[NAMES[1]]
    with pytest.raises(ValueError, match=NAMES[1]):
        Precomputed(1.0)(batch)


def test_other_names():
    model = Precomputed(1.0, input_keys=["a", "b"])
    rows = embeddings()
    pairs = model({"b": rows[NAMES[1]], "a": rows[NAMES[0]]})
    np.testing.assert_allclose(
        to_numpy(pairs["text_embedding"]), rows[NAMES[1]], atol=1e-6
    )
    assert Precomputed.from_config(model.get_config()).input_keys == ("a", "b")


@pytest.mark.parametrize(
    "dtype, tolerance, logit_bias",
    [
        pytest.param("float16", 1e-3, -9.3, marks=pytest.mark.slow),
        ("float32", 1e-6, None),
    ],
)
def test_precompute_says_what_the_reference_says(dtype, tolerance, logit_bias):
    live = reference(logit_scale=12.3, logit_bias=logit_bias)
    examples = pool()
    arrays, precomputed = precompute(
        live, examples, batch_size=4, dtype=dtype, verbose=0
    )
    assert set(arrays) == set(NAMES)
    assert all(str(rows.dtype) == dtype for rows in arrays.values())
    expected = to_numpy(live(examples, training=False))
    got = to_numpy(precomputed({**examples, **arrays}))
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], atol=tolerance)


def test_precompute_over_a_dataset_of_batches():
    live = reference()
    examples = pool()

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            rows = slice(2 * index, 2 * index + 2)
            return ({name: a[rows] for name, a in examples.items()},)

    arrays, _ = precompute(live, examples, dtype="float32", verbose=0)
    streamed, _ = precompute(live, Batches(), dtype="float32", verbose=0)
    for name in NAMES:
        np.testing.assert_allclose(streamed[name], arrays[name], atol=1e-6)


def make_store(folder, width):
    dtype = "float16" if width else "float32"
    metadata = make_metadata(5, 3, width, dtype)
    columns = make_columns(5, width, dtype)
    return ReferenceStore(
        write_store(folder, make_keys(5), columns, 3, metadata)
    )


def test_from_a_store(tmp_path):
    pytest.importorskip("pyarrow")
    pairs, losses = (make_store(tmp_path / str(of), of) for of in (4, None))
    model = Precomputed.from_store(pairs, name="teacher")
    assert (model.logit_scale, model.logit_bias) == (10.0, -10.0)
    assert model.name == "teacher"
    losses_model = PrecomputedLosses.from_store(losses)
    assert losses_model.input_key in losses.take(make_keys(5))
    for of in (model, losses_model):
        again = type(of).from_config(of.get_config())
        assert again.store_digest == of.store_digest is not None
    with pytest.raises(ValueError, match="PrecomputedLosses.from_store"):
        Precomputed.from_store(losses)
    with pytest.raises(ValueError, match="Precomputed.from_store"):
        PrecomputedLosses.from_store(pairs)


@pytest.mark.slow
def test_a_run_from_a_store_is_that_of_its_reference(tmp_path):
    """Picks are equal, in an order in which the store was not written."""
    pytest.importorskip("pyarrow")
    keras.utils.set_random_seed(0)
    records = []
    for number in range(12):
        image = io.BytesIO()
        Image.new("RGB", (8, 8), (20 * number, 9, 200)).save(image, "PNG")
        caption = "abcdefghijkl"[number] * 3
        records.append(
            {"image": image.getvalue(), "text": caption, "key": str(number)}
        )

    def tokenizer(captions):
        return np.array([[ord(of[0]) - 97] * 5 for of in captions])

    def batches(**arguments):
        return super_batches(records, tokenizer, 8, 6, **arguments)

    model, learner = reference(), reference()
    (whole,) = super_batches(records, tokenizer, 8, 12, num_epochs=1)
    pairs = {
        name: np.asarray(keras.ops.convert_to_numpy(of))
        for name, of in model.predict(
            {name: whole[name] for name in ("images", "token_ids")}, verbose=0
        ).items()
    }
    columns = {f"{of}_embedding": pairs[f"{of}_embedding"] for of in SIDES}
    metadata = make_metadata(12, 5, 8, "float32")
    metadata["logit_scale"] = float(pairs["logit_scale"][0])
    metadata["logit_bias"] = float(pairs["logit_bias"][0])
    write_store(tmp_path / "x", whole["key"], columns, 5, metadata)
    store = ReferenceStore(tmp_path / "x")
    weights = learner.get_weights()
    results = []
    for of, dataset in (
        (model, batches()),
        (Precomputed.from_store(store), batches(reference=store)),
    ):
        learner.set_weights(weights)
        trainer = JESTModel(learner, of, seed=0)
        policy = JointSelection(sub_batch_size=3, num_chunks=1)
        trainer.compile("sgd", SigmoidContrastiveLoss(), selection=policy)
        trainer.fit(dataset, steps_per_epoch=3, verbose=0)
        results.append(learner.get_weights())
    metadata["logit_scale"] += 1.0
    write_store(tmp_path / "other", whole["key"], columns, 5, metadata)
    other = ReferenceStore(tmp_path / "other")
    with pytest.raises(ValueError, match="reads another store"):
        trainer.fit(batches(reference=other), steps_per_epoch=1, verbose=0)
    with pytest.raises(ValueError, match="reads another store"):
        trainer.fit(iter(batches(reference=other)), steps_per_epoch=1)
    for one, other in zip(*results, strict=True):
        # The stored pairs are those of a batch of 12: float32 products of
        # width 8 differ by some 1e-7, in steps of sgd at 0.01.
        np.testing.assert_allclose(one, other, atol=1e-6)
