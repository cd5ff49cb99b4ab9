"""Every benchmark runs to its end, with small settings."""

import json
import os
import pathlib
import shlex
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"


def run(script, arguments, file):
    finished = subprocess.run(
        [
            sys.executable,
            str(ROOT / "benchmarks" / script),
            *shlex.split(arguments),
            "--json",
            str(file),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(file.read_text())


def test_selection(tmp_path):
    settings = "--n 256 --width 16 --num-chunks 4 --repeats 1 --loss sigmoid"
    table = run("selection.py", settings, tmp_path / "selection.json")
    (result,) = table["results"]
    assert result["loss"] == "sigmoid"
    assert result["picks of the dense form"] == 1.0
    assert min(result["peak bytes"]["dense"]) > 0


def test_backup(tmp_path):
    settings = "--variant mu/8 --image-size 16 --sub-batch 8 --repeats 1 "
    table = run("backup.py", settings + "--steps 3", tmp_path / "backup.json")
    # The difference of two times, which may be of either sign.
    assert abs(table["mark and state over step"]) < 1
    assert table["again without, over without"] > 0
    assert table["save, ours over Keras"] > 0
    assert table["bytes of two states"] > 1e5


def test_build_store(tmp_path):
    settings = "--variant mu/8 --image-size 16 --records 64 --repeats 1 "
    settings += "--batch-size 16 --part-size 32"
    table = run("build_store.py", settings, tmp_path / "build_store.json")
    assert table["store over predict"] > 0
    assert all(len(of) == 1 for of in table["seconds"].values())


def test_reference_store(tmp_path):
    pytest.importorskip("pyarrow")
    settings = "--num-pairs 20000 --width 32 --part-size 3000 --batches 20 "
    settings += "--variant mu/8 --image-size 16 --batch-size 40 --repeats 1 "
    settings += f"--folder {tmp_path}"
    table = run("reference_store.py", settings, tmp_path / "store.json")
    assert table["bytes"] > 20_000 * (2 * 2 * 32 + 32 + 24)
    assert table["opened, median"] < table["opened, index made"]
    # 20,000 pairs of 128 bytes are 2.6 MB: a copy of all would be seen.
    assert table["anonymous bytes, opened"] < 2_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["store.json"]


def test_train_step(tmp_path):
    settings = "--variant mu/8 --scorer mu/8 --image-size 16 --sub-batch 8 "
    settings += "--repeats 1"
    table = run("train_step.py", settings, tmp_path / "train_step.json")
    assert set(table["ratios"]) == {"JEST", "JEST, precomputed", "ClassAct"}
    assert all(ratio > 0 for ratio in table["ratios"].values())


def test_noisy_pool(tmp_path, first_shards):
    settings = (
        f"--data {first_shards} --seeds 0 --steps 8 --reference-steps 2 "
        "--arms 'uniform, T' 'joint 0.8' 'Flexi-JEST 0.8' --tune"
    )
    file = tmp_path / "noisy_pool.json"
    uniform, joint, flexi = run("noisy_pool.py", settings, file)
    assert (uniform["seen"], joint["seen"]) == (8 * 128, 2 * 640)
    assert uniform["flops"]["total"] == uniform["flops"]["learner training"]
    assert joint["steps"] == 2 and joint["scored"] == 2 * 640
    assert flexi["flops"]["reference scoring"] > 0
    assert flexi["flops"]["total"] < joint["flops"]["total"]
    assert 0 < np.mean(joint["picked"]["clean"]) < 1


@pytest.mark.skipif(
    not SHARED.exists(), reason="needs CIFAR-10N in ../shared/data"
)
def test_noisy_labels(tmp_path):
    settings = (
        f"--data {SHARED} --seeds 0 --steps 10 --reference-steps 4 --arms "
        "'uniform, T, all rows' learnability 'uniform, equal computation'"
    )
    file = tmp_path / "noisy_labels.json"
    all_rows, learnability, equal = run("noisy_labels.py", settings, file)
    assert (all_rows["drawn"], learnability["drawn"]) == (640, 5 * 128)
    terms = learnability["computation"]
    assert terms["online scoring"] == pytest.approx(
        terms["online training"] * 2 / 3
    )
    assert terms["online training"] < 0.5 / 14
    assert equal["steps"] == round(10 * terms["total"])
    assert len(learnability["quality"]) == 5
    assert 0.5 < learnability["clean"] < 0.7


def test_heavy_tailed_pool(tmp_path):
    settings = (
        "--seeds 0 --steps 8 --reference-steps 2 --num-pairs 1000 "
        "--num-curated 200 "
        "--arms 'uniform, T/4' 'uniform, 4T' 'joint 0.8' 'Flexi-JEST 0.8' "
        "'concept balance 0.8' 'easy reference, joint 0.8, second half'"
    )
    file = tmp_path / "pool.json"
    short, long, joint, flexi, balance, half = run(
        "heavy_tailed_pool.py", settings, file
    )
    assert [row["steps"] for row in (short, long, joint)] == [2, 32, 8]
    assert long["flops"]["total"] == pytest.approx(16 * short["flops"]["total"])
    assert (joint["trained"], joint["scored"]) == (8 * 128, 8 * 640)
    assert (half["trained"], half["scored"]) == (8 * 128, 4 * 640)
    scoring = [row["flops"]["online scoring"] for row in (joint, flexi)]
    # A quarter of the pixels, and all of the text.
    assert 0.25 < scoring[1] / scoring[0] < 0.5
    assert flexi["flops"]["reference training"] > 0
    assert balance["scored"] == 0 == balance["flops"]["reference training"]
    assert len(joint["picked"]["rare"]) == 8
    assert joint["picked"]["repeated"][0] < 0.9
    picture = tmp_path / "picked.png"
    script = ROOT / "benchmarks" / "picked_over_time.py"
    subprocess.run([sys.executable, script, file, picture], check=True)
    with Image.open(picture) as image:
        assert image.width > 1000 and len(image.getcolors(2**16)) > 20
