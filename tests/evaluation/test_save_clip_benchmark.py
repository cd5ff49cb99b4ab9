"""The JSON that tables of CLIP_benchmark are made of."""

import json

import numpy as np
import pytest

from keras_jest.evaluation import retrieval
from keras_jest.evaluation import save_clip_benchmark

pytestmark = pytest.mark.once

ABOUT = {"dataset": "wds/cifar10", "model": "SigLIP B/16", "pretrained": "mine"}


def test_zero_shot_results_are_in_the_layout(tmp_path):
    metrics = {
        "acc1": np.float32(0.5),
        "acc5": 0.75,
        "mean_per_class_recall": 0.25,
    }
    result = save_clip_benchmark(tmp_path / "a.json", metrics, **ABOUT)
    assert json.loads((tmp_path / "a.json").read_text()) == result
    assert result == {
        **ABOUT,
        "task": "zeroshot_classification",
        "metrics": metrics,
        "language": "en",
    }


def test_a_direction_is_named_by_what_is_found(tmp_path):
    # Two texts of the first image: 2 of 3 texts, and 1 of 2 images, are found.
    pairs = {
        "image_embedding": np.eye(2),
        "text_embedding": np.array([[1, 0], [1, 0], [1, 0.1]]),
    }
    recalls = retrieval(pairs, (1,), image_of_text=np.array([0, 0, 1]))
    result = save_clip_benchmark(
        tmp_path / "a.json", recalls, **ABOUT, language="de"
    )
    assert result["task"] == "zeroshot_retrieval"
    assert result["language"] == "de"
    assert recalls["text_to_image_recall@1"] == 2 / 3
    assert result["metrics"]["image_retrieval_recall@1"] == 2 / 3
    assert set(result["metrics"]) == {
        "image_retrieval_recall@1",
        "text_retrieval_recall@1",
    }


@pytest.mark.parametrize(
    "metrics", [{"loss": 1.0}, {}, {"acc1": 1.0, "mean_recall@1": 0.5}]
)
def test_metrics_of_no_task_or_of_two_are_refused(metrics, tmp_path):
    with pytest.raises(ValueError, match="the metrics of one task"):
        save_clip_benchmark(tmp_path / "a.json", metrics, **ABOUT)
    assert not list(tmp_path.iterdir())
