"""Results in the layout of CLIP_benchmark, for its tables and tools."""

import json
from collections.abc import Mapping
from typing import Any

from keras_jest.api_export import keras_jest_export
from keras_jest.data.whole_file import whole_file
from keras_jest.types import StrPath

# The field names a direction by what is found.
RETRIEVED = {
    "text_to_image_recall@": "image_retrieval_recall@",
    "image_to_text_recall@": "text_retrieval_recall@",
}


@keras_jest_export("keras_jest.evaluation.save_clip_benchmark")
def save_clip_benchmark(
    path: StrPath,
    metrics: Mapping[str, float],
    dataset: str,
    model: str,
    pretrained: str,
    language: str = "en",
) -> dict[str, Any]:
    """Write the JSON that CLIP_benchmark writes of an evaluation.

    It is a dict of `dataset`, `model`, `pretrained`, `task`, `metrics` and
    `language`; `clip_benchmark build` makes a table of many. The recalls of
    `retrieval` get the names of the field, which names a direction by what is
    found: `text_to_image_recall@5` is `image_retrieval_recall@5`, and
    `image_to_text_recall@5` is `text_retrieval_recall@5`. All other names stay
    as they are; `acc1`, `acc5` and `mean_per_class_recall` are the field's.

    Args:
        path: str or path of the file, which is replaced if it is there.
        metrics: dict of floats from 0 to 1: what
            `keras_jest.evaluation.ZeroShotClassifier.evaluate` or
            `keras_jest.evaluation.retrieval` returns.
        dataset: str, what the model was evaluated on.
        model: str, what kind of model it is, such as `"SigLIP B/16"`.
        pretrained: str, which weights it has.
        language: str, that of the texts.

    Returns:
        The dict that was written.

    Raises:
        ValueError: The metrics are of no task, or of both.

    Example:

    ```python
    import numpy as np
    from keras_jest.evaluation import retrieval
    from keras_jest.evaluation import save_clip_benchmark

    embedding = np.eye(6, dtype="float32")
    pairs = {"image_embedding": embedding, "text_embedding": embedding}
    result = save_clip_benchmark(
        "result.json",
        retrieval(pairs, ks=(5,)),
        dataset="pictograms",
        model="SigLIP mu/8",
        pretrained="epoch 10",
    )
    print(result["task"], result["metrics"]["image_retrieval_recall@5"])
    ```

    Reference:
        - [CLIP_benchmark](https://github.com/LAION-AI/CLIP_benchmark).
    """
    result = {
        "dataset": dataset,
        "model": model,
        "pretrained": pretrained,
        "task": task_of(metrics),
        "metrics": {
            name_in_field(name): float(value) for name, value in metrics.items()
        },
        "language": language,
    }
    text = json.dumps(result, allow_nan=False)
    with whole_file(path) as file:
        file.write(text.encode())
    return result


def task_of(metrics):
    """Which of CLIP_benchmark's tasks metrics are of."""
    tasks = {
        "zeroshot_classification": "acc1" in metrics,
        "zeroshot_retrieval": any("recall@" in name for name in metrics),
    }
    found = [task for task, is_it in tasks.items() if is_it]
    if len(found) != 1:
        raise ValueError(
            "Expected the metrics of one task: `acc1` and others of "
            "`ZeroShotClassifier.evaluate`, or the recalls of `retrieval`. "
            f"Received: metrics with {sorted(metrics)}"
        )
    return found[0]


def name_in_field(name):
    """What CLIP_benchmark calls a recall."""
    for ours, of_field in RETRIEVED.items():
        if name.startswith(ours):
            return of_field + name.removeprefix(ours)
    return name
