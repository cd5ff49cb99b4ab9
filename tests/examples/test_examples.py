"""Every example and guide runs to its end, with small settings."""

import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tarfile

import pyarrow.parquet as parquet
import pytest
from PIL import Image

from keras_jest.datasets import pictograms

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[2]


def run(script, *arguments, folder, **environment):
    finished = subprocess.run(
        [sys.executable, str(ROOT / script), *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished.stdout


def test_jest(tmp_path):
    output = run(
        "examples/vision_language/jest.py",
        folder=tmp_path,
        NUM_PAIRS="1280",
        NUM_EPOCHS="1",
        RESULTS=str(tmp_path / "results"),
    )
    assert "of the computation" in output
    assert "near_duplicate" in output
    for name in ("three_axes", "kept_and_dropped"):
        with Image.open(tmp_path / "results" / f"{name}.png") as image:
            assert min(image.size) > 300
    page = tmp_path / "results" / "selection.html"
    assert f"A page to look at: {page}" in output
    assert "near_duplicate" in page.read_text("utf-8")


def test_getting_started(tmp_path):
    output = run("guides/getting_started.py", folder=tmp_path, NUM_PAIRS="1280")
    assert "super-batch" in output
    assert (tmp_path / "learner.keras").exists()


@pytest.mark.parametrize("data", ["digits", "cifar10n"])
def test_class_act(tmp_path, data, request):
    arguments = "--steps 20 --results results".split()
    if data == "cifar10n":
        folder = request.getfixturevalue("shared_data")
        arguments += ["--cifar10n", folder / "cifar10n.npz", "--rows", 256]
    output = run("examples/vision/class_act.py", *arguments, folder=tmp_path)
    for name in ("uniform, T", "hard learner", "RHO-LOSS starves"):
        assert name in output
    with Image.open(tmp_path / "results" / "class_act.png") as image:
        assert min(image.size) > 300


def test_active_clip(tmp_path):
    output = run(
        "examples/vision_language/active_clip.py",
        *"--pairs 512 --steps 8 --sub-batch-size 32".split(),
        folder=tmp_path,
    )
    assert "log spread" in output
    with Image.open(tmp_path / "results" / "active_clip.png") as image:
        assert min(image.size) > 300


def write_shards(folder, split, num_records, ending=""):
    folder.mkdir()
    path = folder / f"00000.tar{ending}"
    with tarfile.open(path, f"w:{ending.strip('.')}") as archive:
        for row in range(num_records):
            file = io.BytesIO()
            Image.fromarray(split["images"][row]).save(file, "PNG")
            caption = str(split["captions"][row]).encode()
            for name, data in (("png", file.getvalue()), ("txt", caption)):
                member = tarfile.TarInfo(f"{row:06d}.{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def test_jest_tar_shards(tmp_path):
    train, curated, test = pictograms.load_data(image_size=16)
    write_shards(tmp_path / "pool", train, 120)
    write_shards(tmp_path / "curated", curated, 60)
    write_shards(tmp_path / "test", test, 40)
    run(
        "examples/vision_language/jest_tar_shards.py",
        tmp_path / "pool",
        "--reference-shards",
        tmp_path / "curated",
        "--test-shards",
        tmp_path / "test",
        *"--selection joint --filter-ratio 0.5 --sub-batch-size 16".split(),
        *"--steps 3 --reference-steps 2 --image-size 16 --seed 1".split(),
        "--json",
        tmp_path / "result.json",
        folder=tmp_path,
    )
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["examples_trained"] == 3 * 16
    assert result["examples_scored"] == 3 * 32
    assert result["settings"]["selection"] == "joint"
    assert 0 <= result["metrics"]["image_to_text_recall@10"] <= 1
    assert set(result) >= {
        "seconds",
        "reference_seconds",
        "reference_examples_trained",
        "bad_records",
        "backend",
    }
    assert result["settings"]["filter_ratio"] == 0.5
    assert result["settings"]["seed"] == 1


def test_jest_tar_shards_stopped_by_a_scheduler(tmp_path):
    """It goes on exactly, and a folder that holds a run is never taken."""
    train, curated, test = pictograms.load_data(image_size=16)
    write_shards(tmp_path / "pool", train, 120, ".gz")
    write_shards(tmp_path / "good", curated, 60)
    write_shards(tmp_path / "test", test, 40)
    script = "examples/vision_language/jest_tar_shards.py"
    arguments = (
        "pool --reference-shards good --test-shards test --score easy_reference"
        " --filter-ratio 0.5 --sub-batch-size 16 --steps 6 --reference-steps 2"
        " --image-size 16 --output"
    ).split()
    run(script, *arguments, "whole", folder=tmp_path)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / script), *arguments, "stopped"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    is_learner = False
    for line in process.stdout:
        is_learner = is_learner or "Training the learner" in line
        if is_learner and "Epoch 3/6" in line:
            process.terminate()
    assert process.wait() == 128 + signal.SIGTERM
    with pytest.raises(AssertionError, match="--resume or another"):
        run(script, *arguments, "stopped", folder=tmp_path)
    with pytest.raises(AssertionError, match="seed differ"):
        options = ("stopped", "--resume", "--seed", 5)
        run(script, *arguments, *options, folder=tmp_path)
    run(script, *arguments, "stopped", "--resume", folder=tmp_path)
    logs = [
        parquet.read_table(tmp_path / of / "picks.parquet")
        for of in ("whole", "stopped")
    ]
    assert logs[0].equals(logs[1])
    results = [
        json.loads((tmp_path / of / "result.json").read_text())
        for of in ("whole", "stopped")
    ]
    assert results[0]["history"] == results[1]["history"]
    names = {path.name for path in (tmp_path / "stopped").iterdir()}
    assert names >= {"learner.keras", "tokenizer.json", "learning_curve.png"}
    assert not any("backup" in name for name in names)


def test_jest_tar_shards_of_the_drawings(tmp_path):
    script = "examples/vision_language/jest_tar_shards.py"
    output = run(
        script,
        *"--sub-batch-size 16 --steps 2 --reference-steps 2".split(),
        *"--image-size 16 --output run".split(),
        folder=tmp_path,
    )
    assert "pool: 20000 pairs, left out: {}" in output
    with Image.open(tmp_path / "run" / "learning_curve.png") as image:
        assert min(image.size) > 300
    with pytest.raises(AssertionError, match="needs --test-shards"):
        run(script, tmp_path / "run" / "shards" / "pool", folder=tmp_path)


def test_jest_tar_shards_without_selection(tmp_path):
    train, _, test = pictograms.load_data(image_size=16)
    write_shards(tmp_path / "pool", train, 40)
    write_shards(tmp_path / "test", test, 20)
    run(
        "examples/vision_language/jest_tar_shards.py",
        tmp_path / "pool",
        "--test-shards",
        tmp_path / "test",
        *"--selection none --sub-batch-size 16 --steps 2".split(),
        *"--image-size 16 --json result.json".split(),
        folder=tmp_path,
    )
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["examples_trained"] == 2 * 16
    assert result["examples_scored"] == 0
    assert result["reference_examples_trained"] == 0
    assert result["reference_seconds"] == 0


def test_jest_tar_shards_on_the_shared_shards(tmp_path, shared_data):
    """One folder a split; 2 of the 10 shards of the pool, for time."""
    folders = {}
    for name, pattern in (
        ("pool", "pictograms_web30/web30-0000[01].tar"),
        ("curated", "pictograms/curated-*.tar"),
        ("test", "pictograms/test-*.tar"),
    ):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        for shard in shared_data.glob(pattern):
            (folders[name] / shard.name).write_bytes(shard.read_bytes())
    output = run(
        "examples/vision_language/jest_tar_shards.py",
        folders["pool"],
        "--reference-shards",
        folders["curated"],
        "--test-shards",
        folders["test"],
        *"--selection joint --filter-ratio 0.8 --sub-batch-size 8".split(),
        *"--steps 2 --reference-steps 2 --image-size 16".split(),
        "--json",
        tmp_path / "result.json",
        folder=tmp_path,
    )
    assert "pool: 4000 pairs" in output and "test: 1881 pairs" in output
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["bad_records"] == {}
    assert result["examples_scored"] == 2 * 40
