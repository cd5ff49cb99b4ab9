"""What stops a build of a store, and that it goes on."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from store_pool import RECORDS
from store_pool import TOKENIZER
from store_pool import losses_of_records
from store_pool import make_model
from store_pool import of_records
from store_pool import parts_of

from keras_jest.data import ReferenceStore
from keras_jest.data import store_parts
from keras_jest.data.arrow_file import write_arrow_file
from keras_jest.data.store_parts import part_name
from keras_jest.models import build_store
from keras_jest.models import part_maker
from keras_jest.models import store_lock
from keras_jest.models import store_plan
from keras_jest.models.store_job import StoreJob

pytestmark = pytest.mark.once
HERE = str(pathlib.Path(__file__).parent)

KILLED = """
import sys
sys.path.insert(0, {here!r})
from store_pool import RECORDS, slowly
from keras_jest.models import build_store
print("begins", flush=True)
build_store(
    {path!r}, slowly, RECORDS, batch_size=2, part_size=3, verbose=0
)
"""


def build(path, reference=of_records, records=RECORDS, **arguments):
    arguments = {"batch_size": 2, "part_size": 3, "verbose": 0, **arguments}
    return build_store(path, reference, records, **arguments)


def never_asked(records):
    raise AssertionError("the reference was run")


def begin_build(path):
    script = KILLED.format(here=HERE, path=str(path))
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_killed_build_goes_on_as_if_it_had_not_been(tmp_path):
    """At two moments; and meanwhile no other process builds there."""
    build(tmp_path / "whole")
    whole = parts_of(tmp_path / "whole")
    path = tmp_path / "killed"
    random = np.random.default_rng()
    for num_parts in (1, 4):
        with begin_build(path) as process:
            assert process.stdout.readline() == "begins\n"
            while not (path / part_name(num_parts - 1)).exists():
                assert process.poll() is None
                time.sleep(0.001)
            with pytest.raises(ValueError, match="Another process is build"):
                build(path, never_asked)
            time.sleep(random.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        # What has its name is whole.
        there = parts_of(path)
        assert num_parts <= len(there) < len(whole)
        assert there.items() <= whole.items()
    build(path)
    assert parts_of(path) == whole
    left = {"_build.lock", "_index.arrow", *whole}
    assert {file.name for file in path.iterdir()} == left


def test_a_full_disk_is_told_and_leaves_nothing_half(tmp_path, monkeypatch):
    write_part = part_maker.write_part
    written = []

    def fills_up(path, *arguments):
        if len(written) == 2:
            pathlib.Path(f"{path}.1.part").write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        write_part(path, *arguments)

    monkeypatch.setattr(part_maker, "write_part", fills_up)
    # 3 pairs of 36 bytes of key and 2 x 3 x 2 of embeddings.
    with pytest.raises(OSError, match="room for 144 B.* left") as error:
        build(tmp_path)
    assert error.value.errno == errno.ENOSPC
    assert part_name(2) in error.value.filename
    assert [*parts_of(tmp_path)] == [part_name(0), part_name(1)]
    monkeypatch.undo()
    build(tmp_path)
    build(tmp_path / "whole")
    assert parts_of(tmp_path) == parts_of(tmp_path / "whole")


def test_a_disk_that_is_too_small_is_told_before(tmp_path, monkeypatch):
    usage = store_plan.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(store_plan.shutil, "disk_usage", lambda path: usage)
    # 23 x 48 bytes.
    with pytest.raises(OSError, match="room for 1.1 kB.* 1 kB left"):
        build(tmp_path)
    assert not parts_of(tmp_path)


def test_a_folder_that_can_only_be_read(tmp_path, monkeypatch):
    """Injected, since tests may run as root."""

    def refuse(place, mode):
        raise PermissionError(errno.EACCES, "Permission denied", place)

    monkeypatch.setattr(store_lock, "open", refuse, raising=False)
    with pytest.raises(OSError, match="folder that can be written to"):
        build(tmp_path, never_asked)


def test_without_locks_of_the_system_the_file_is_the_lock(
    tmp_path, monkeypatch
):
    def unsupported(file, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", unsupported)

    def builds_too(records):
        with pytest.raises(ValueError, match="Another process is building"):
            build(tmp_path, never_asked)
        return of_records(records)

    build(tmp_path, builds_too)
    build(tmp_path)
    (tmp_path / store_lock.LOCK).write_text("token machine 123")
    with pytest.raises(ValueError, match="'machine 123'.*|killed: then del"):
        build(tmp_path, never_asked)


def test_a_process_that_outlives_its_build_writes_no_more(tmp_path):
    """As a worker may whose builder was killed, while another began."""

    def another_began(records):
        (tmp_path / store_lock.LOCK).write_text("of another build")
        return of_records(records)

    with pytest.raises(ValueError, match="The build has ended"):
        build(tmp_path, another_began)
    assert not parts_of(tmp_path)


def arrays_of(size=4, tokenizer=TOKENIZER, records=RECORDS, **arguments):
    return {
        "records": records,
        "tokenizer": tokenizer,
        "image_size": size,
        **arguments,
    }


def other_ids(captions):
    return np.ones((len(captions), 6), int)


@pytest.mark.parametrize(
    "arguments, differs",
    [
        (arrays_of(size=8), "image_size=4 instead of 8"),
        (arrays_of(tokenizer=other_ids), "tokenizer=.* instead of"),
        (arrays_of(records=RECORDS[:-1]), "num_records=23 instead of 22"),
        (arrays_of(records=RECORDS[::-1]), "records=.* instead of"),
        (
            arrays_of(records=[{**r, "shard": "s"} for r in RECORDS]),
            "records=.* instead of",
        ),
        (arrays_of(part_size=4), "part_size=3 instead of 4"),
        (arrays_of(dtype="float32"), "dtype=float16 instead of float32"),
    ],
)
def test_a_store_of_other_things_is_refused(
    arguments, differs, tmp_path, of_the_same
):
    with pytest.raises(ValueError, match=f"Name another folder.*{differs}"):
        build(of_the_same, never_asked, **arguments)


@pytest.fixture(scope="module")
def of_the_same(tmp_path_factory):
    path = tmp_path_factory.mktemp("store")
    build(path, make_model, **arrays_of())
    return path


@pytest.mark.parametrize(
    "reference, differs",
    [
        (make_model(seed=1), "reference="),
        (lambda batch: of_vectors(batch, width=5), "reference=.*None"),
        (lambda batch: of_vectors(batch, scale=3), "logit_scale=12.29.* of 3"),
        (lambda batch: of_vectors(batch, width=6), "width=5 instead of 6"),
    ],
)
def test_another_reference_is_refused(reference, differs, of_the_same):
    with pytest.raises(ValueError, match=f"Name another folder.*{differs}"):
        build(of_the_same, reference, **arrays_of())


def of_vectors(batch, width=5, scale=12.3):
    ones = np.ones((len(batch["key"]), width))
    return {
        "image_embedding": ones,
        "text_embedding": ones,
        "logit_scale": scale,
        "logit_bias": -3.1,
    }


def with_value(name, value):
    return lambda records: {**of_records(records), name: value}


def without(name):
    def reference(records):
        outputs = of_records(records)
        del outputs[name]
        return outputs

    return reference


def two_scales(records):
    scale = 7.5 if records[0]["key"] == "r0" else 2.0
    return {**of_records(records), "logit_scale": scale}


def of_nan(records):
    outputs = of_records(records)
    for row, record in enumerate(records):
        if record["key"] in ("r7", "r8"):
            outputs["text_embedding"][row, 1] = np.nan
    return outputs


@pytest.mark.parametrize(
    "reference, message",
    [
        (without("logit_scale"), "returns pairs.*'image_embedding'"),
        (without("text_embedding"), "returns pairs.*'logit_scale'"),
        (lambda records: np.ones(3), "returns pairs.*ndarray"),
        (with_value("text_embedding", np.ones(2)), r"text_embedding.*\(2,\)"),
        (with_value("image_embedding", np.ones((3, 3))), r"\(3, 3\)"),
        (with_value("image_embedding", np.ones((2, 4))), "one shape.*4"),
        (with_value("logit_scale", np.ones(3)), r"logit_scale.*\(3,\)"),
        (with_value("logit_scale", np.inf), "finite `logit_scale`.*inf"),
        (with_value("logit_bias", [1, 2]), "one finite `logit_bias`.*1.0 to 2"),
        (with_value("loss", [1.0]), r"loss of shape \(1,\)"),
        (with_value("loss", [1.0, np.nan]), "finite values of `loss`.*'r1'"),
    ],
)
def test_what_is_no_reference_is_refused_in_the_first_batch(
    reference, message, tmp_path
):
    with pytest.raises(ValueError, match=message):
        build(tmp_path, reference)
    assert not parts_of(tmp_path)


def test_what_goes_wrong_later_is_named_and_can_be_mended(tmp_path):
    with pytest.raises(ValueError, match="2 of 3 records .*'r7', 'r8'"):
        build(tmp_path, of_nan)
    assert [*parts_of(tmp_path)] == [part_name(0), part_name(1)]
    with pytest.raises(ValueError, match="one `logit_scale`.*=2.0 after 7.5"):
        build(tmp_path, two_scales)
    build(tmp_path)


def test_a_process_with_another_reference_is_refused(tmp_path, of_the_same):
    """Such as a worker whose maker gives a new model random weights."""
    metadata = ReferenceStore(of_the_same).metadata
    job = StoreJob(
        path=str(tmp_path),
        reference=lambda: make_model(seed=1),
        reference_name=None,
        records=RECORDS,
        tokenizer=TOKENIZER,
        image_size=4,
        batch_size=2,
        metadata=metadata,
        token="",
    )
    maker = part_maker.PartMaker(job)
    with pytest.raises(ValueError, match="have the same reference"):
        next(maker.make_parts([0], metadata))
    with pytest.raises(ValueError, match="see the same records.*22 records"):
        part_maker.PartMaker(job._replace(records=RECORDS[1:]))


def test_a_bad_record_is_named(tmp_path):
    bad = [*RECORDS[:8], {**RECORDS[8], "image": b"no picture"}, *RECORDS[9:]]
    with pytest.raises(ValueError, match="record 'r8'.* is bad"):
        build(tmp_path, make_model, bad, tokenizer=TOKENIZER, image_size=4)
    assert [*parts_of(tmp_path)] == [part_name(0), part_name(1)]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"dtype": "bfloat16"}, "'float16' or 'float32'.*'bfloat16'"),
        ({"part_size": 0}, "part_size=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"records": []}, "num_records=0"),
        ({"records": [*RECORDS, RECORDS[4]]}, "1 that are there again.*'r4'"),
        ({"tokenizer": TOKENIZER}, "or neither"),
        ({"image_size": 4}, "or neither"),
        ({"tokenizer": TOKENIZER, "image_size": 0}, "image_size=0"),
        ({"executor": "dask"}, "executor='dask'"),
        ({"executor": "ray"}, "with Ray 1 or more.*num_workers=0"),
        ({"num_workers": -1}, "num_workers=-1"),
        ({"num_workers": 1.5}, "to be an int of 0 or more.*=1.5"),
        ({"batch_size": 2.0}, "batch_size=2.0"),
        ({"reference": 3}, "Expected `reference`.*reference=3"),
        ({"reference": make_model}, "is a Keras model: it reads batches"),
        ({"num_workers": 1, "reference": lambda records: 1}, "spawned"),
    ],
)
def test_arguments_that_cannot_be(arguments, message, tmp_path):
    arguments = {"reference": never_asked, **arguments}
    with pytest.raises(ValueError, match=message):
        build(tmp_path / "store", **arguments)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "store").write_text("not a store")
    with pytest.raises(ValueError, match="Expected `path`.*there is a file"):
        build(tmp_path / "store", never_asked)
    assert (tmp_path / "store").read_text() == "not a store"


def test_a_function_that_fails_names_its_records(tmp_path):
    def of_some(records):
        if records[0]["key"] == "r6":
            raise KeyError("no such word")
        return of_records(records)

    with pytest.raises(KeyError, match="no such word") as error:
        build(tmp_path, of_some)
    assert "from 'r6' to 'r7'" in error.value.__notes__[0]


def test_a_store_of_losses_goes_on_whatever_dtype_was_asked_for(tmp_path):
    build(tmp_path, losses_of_records)
    whole = parts_of(tmp_path)
    (tmp_path / part_name(1)).unlink()
    build(tmp_path, losses_of_records)
    assert parts_of(tmp_path) == whole
    with pytest.raises(ValueError, match="dtype=float32 instead of float16"):
        build(tmp_path, of_records)


def test_files_of_others_are_refused_and_stay(tmp_path):
    """Another program's, and a store of a later version."""
    path = tmp_path / part_name(0)
    write_arrow_file(path, {"a": np.arange(3)}, "another", {})
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"delete the file.*{path.name}"):
        build(tmp_path, never_asked)
    assert path.read_bytes() == before


def test_a_store_of_another_format_is_refused_and_stays(tmp_path, monkeypatch):
    build(tmp_path)
    before = parts_of(tmp_path)
    monkeypatch.setattr(store_parts, "FORMAT", 2)
    with pytest.raises(ValueError, match="delete the file.*format=1"):
        build(tmp_path, never_asked)
    assert parts_of(tmp_path) == before


def test_a_module_that_asks_for_anything_is_no_maker(tmp_path):
    """Torch's modules and Keras' layers are called with `*args`."""

    class Module:
        def __call__(self, *args, **kwargs):
            return of_records(*args, **kwargs)

    assert len(build(tmp_path, Module())) == len(RECORDS)


def test_another_width_in_a_later_batch_of_a_part_is_told(tmp_path):
    def of_two_widths(records):
        outputs = of_records(records)
        width = 3 if len(records) == 2 and records[0]["key"] == "r0" else 2
        return {
            name: value[:, :width] if name.endswith("embedding") else value
            for name, value in outputs.items()
        }

    with pytest.raises(ValueError, match=r"batch 1 of a part .*\(2,\)"):
        build(tmp_path, of_two_widths)


def test_another_function_does_not_go_on(tmp_path):
    """Nothing is known of a function but what it returns."""

    def other(records):
        outputs = of_records(records)
        return {**outputs, "image_embedding": -outputs["image_embedding"]}

    build(tmp_path)
    last = sorted(tmp_path.glob("part-*.arrow"))[-1]
    whole = last.read_bytes()
    last.unlink()
    with pytest.raises(ValueError, match="differs in 'image_embedding'"):
        build(tmp_path, other)
    build(tmp_path)
    assert last.read_bytes() == whole
