import io
import json
import tarfile

import keras
import numpy as np
import pytest
from store_pool import IMAGE_SIZE
from store_pool import NUM_RECORDS
from store_pool import RECORDS
from store_pool import TOKENIZER
from store_pool import losses_of_records
from store_pool import make_model
from store_pool import make_of_records
from store_pool import of_records
from store_pool import parts_of

from keras_jest.data import TarShards
from keras_jest.data import decode_image
from keras_jest.data import record_key
from keras_jest.data import super_batches
from keras_jest.data.store_parts import part_name
from keras_jest.models import build_store
from keras_jest.models import precompute

KEYS = np.stack([record_key(record["key"]) for record in RECORDS])


def build(path, reference=of_records, records=RECORDS, **arguments):
    arguments = {"batch_size": 4, "part_size": 7, "verbose": 0, **arguments}
    return build_store(path, reference, records, **arguments)


def build_of_arrays(path, reference, records=RECORDS, **arguments):
    arguments = {"tokenizer": TOKENIZER, "image_size": IMAGE_SIZE, **arguments}
    return build(path, reference, records, **arguments)


def said(store):
    """All that a store says of the records, in their order."""
    return store.take(KEYS)


def unit(rows):
    rows = np.asarray(rows, "float64")
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    "batch_size, part_size, dtype",
    [(4, 7, "float16"), (8, 8, "float32"), (5, 100, "float16")],
)
def test_a_store_says_what_precompute_says(
    batch_size, part_size, dtype, tmp_path
):
    model = make_model()
    sizes = {"batch_size": batch_size, "part_size": part_size, "dtype": dtype}
    store = build_of_arrays(tmp_path, model, **sizes)
    assert len(store) == NUM_RECORDS
    assert len(parts_of(tmp_path)) == -(-NUM_RECORDS // part_size)
    batches = super_batches(
        RECORDS, TOKENIZER, IMAGE_SIZE, 6, shuffle=False, num_epochs=1
    )
    arrays, precomputed = precompute(model, batches, dtype=dtype, verbose=0)
    for name, got in said(store).items():
        assert str(got.dtype) == dtype
        # A float16 below 1 is at most 2**-11 from its neighbour; other
        # batch sizes may differ by float32's last digits, 1e-6 of a sum.
        atol = 2**-11 if dtype == "float16" else 2e-6
        np.testing.assert_allclose(got, arrays[name], rtol=0, atol=atol)
    # float32 rounds a scale of 12.3 to 5e-7 of it.
    np.testing.assert_allclose(
        [store.logit_scale, store.logit_bias],
        [precomputed.logit_scale, precomputed.logit_bias],
        rtol=1e-6,
    )


def test_a_path_a_maker_and_a_model_are_one_reference(tmp_path):
    model = make_model()
    model.save(tmp_path / "model.keras")
    folders = [tmp_path / name for name in ("model", "path", "maker")]
    references = (model, tmp_path / "model.keras", make_model)
    for folder, reference in zip(folders, references, strict=True):
        build_of_arrays(folder, reference)
    first, *others = map(parts_of, folders)
    # The digest, too, is in the files.
    assert all(other == first for other in others)


def test_no_batch_has_another_size(tmp_path):
    sizes = []

    def reference(batch):
        sizes.append({len(array) for array in batch.values()})
        assert {*batch} == {"images", "token_ids", "key"}
        ones = np.ones((len(batch["key"]), 2))
        return dict.fromkeys(("image_embedding", "text_embedding"), ones) | {
            "logit_scale": 1
        }

    build_of_arrays(tmp_path, reference)
    # A first look; three parts of 7 by 4 rows, and one of 2.
    assert sizes == [{4}] * (1 + 3 * 2 + 1)


@pytest.mark.once
def test_a_function_of_records_is_a_reference(tmp_path):
    store = build(tmp_path / "function", of_records)
    got = said(store)
    images = np.stack([decode_image(r["image"], 2) for r in RECORDS])
    expected = unit(images.reshape(NUM_RECORDS, -1)[:, :3] + 1.0)
    # Half the distance of two float16 numbers below 1.
    np.testing.assert_allclose(
        got["reference_image_embedding"], expected, rtol=0, atol=2**-12
    )
    lengths = [[len(r["text"]), r["text"].count("d"), 1] for r in RECORDS]
    np.testing.assert_allclose(
        got["reference_text_embedding"], unit(lengths), rtol=0, atol=2**-12
    )
    assert (store.logit_scale, store.logit_bias) == (7.5, 0.0)
    build(tmp_path / "maker", make_of_records)
    assert parts_of(tmp_path / "maker") == parts_of(tmp_path / "function")


@pytest.mark.once
def test_a_function_of_losses_is_a_reference(tmp_path):
    store = build(tmp_path, losses_of_records)
    expected = losses_of_records(RECORDS)["loss"]
    (losses,) = said(store).values()
    np.testing.assert_array_equal(losses, expected)
    assert losses.dtype == "float32"
    assert store.logit_scale is None


def test_tensors_of_the_backend_are_understood(tmp_path):
    model = make_model()

    def reference(batch):
        pairs = model(batch)  # They carry gradients on torch.
        scale = keras.ops.cast(pairs["logit_scale"][0], "bfloat16")
        return {**pairs, "logit_scale": scale}

    store = build_of_arrays(tmp_path / "function", reference)
    expected = said(build_of_arrays(tmp_path / "model", model))
    for name, got in said(store).items():
        # float16 below 1, where a sum in another order may round elsewhere.
        np.testing.assert_allclose(got, expected[name], rtol=0, atol=2**-11)
    assert store.logit_scale == 12.3125  # 12.3 in bfloat16.


@pytest.mark.once
def test_what_is_there_is_kept_and_the_rest_is_made_as_it_was(tmp_path):
    seen = []

    def counting(records):
        seen.extend(record["key"] for record in records)
        return of_records(records)

    build(tmp_path)
    whole = parts_of(tmp_path)
    (tmp_path / part_name(1)).unlink()
    (tmp_path / part_name(2)).write_bytes(whole[part_name(2)][:-9])
    (tmp_path / f"{part_name(3)}.123.part").write_bytes(b"half")
    build(tmp_path, counting)
    assert parts_of(tmp_path) == whole
    # A first look at 4, and what was missing or cut.
    made = [f"r{number}" for number in range(7, 21)]
    assert set(seen) == {"r0", "r1", "r2", "r3", *made}


@pytest.mark.once
def test_the_size_is_told_before_it_begins(tmp_path, capsys):
    build(tmp_path, verbose=1)
    told, *_ = capsys.readouterr().out.splitlines()
    # 36 bytes of key and 2 x 3 x 2 of embeddings a pair: 23 * 48.
    assert told == "23 pairs, 1.1 kB, 4 parts"
    (tmp_path / part_name(2)).unlink()
    build(tmp_path, verbose=1)
    told, *_ = capsys.readouterr().out.splitlines()
    assert told == "23 pairs, 1.1 kB, 4 parts, 3 of them there"
    build(tmp_path)
    assert capsys.readouterr().out == ""


def test_a_digest_tells_weights_and_knows_no_names(tmp_path):
    """The same model made twice has names of other numbers."""
    build_of_arrays(tmp_path, make_model())
    build_of_arrays(tmp_path, make_model())
    with pytest.raises(ValueError, match="reference=.* instead of"):
        build_of_arrays(tmp_path, make_model(seed=1))


@pytest.mark.once
@pytest.mark.parametrize("identity", ["shard/key", "uid"])
def test_shards_are_known_by_their_identity(identity, tmp_path):
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for number, record in enumerate(RECORDS[:9]):
            fields = json.dumps({"uid": f"u{number}", "label": number})
            texts = record["text"].encode(), fields.encode()
            for kind, data in zip(
                ("png", "txt", "json"), (record["image"], *texts), strict=True
            ):
                member = tarfile.TarInfo(f"{record['key']}.{kind}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))

    def open_shards():
        return TarShards(tmp_path / "0.tar", identity=identity, verbose=0)

    stores = [
        build(tmp_path / "records", losses_of_records, open_shards),
        build_of_arrays(tmp_path / "arrays", make_model, open_shards()),
    ]
    for store in stores:
        assert store.metadata["identity"] == identity
        assert store.rows(open_shards().keys).tolist() == [*range(9)]
    if identity == "uid":
        assert stores[0].rows(record_key("u4")[None]) == [4]
