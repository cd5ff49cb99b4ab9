"""The lines that a log has for the picks of some steps."""

import keras
import numpy as np

from keras_jest.data.record_key import keys_to_hex


def picked_columns(steps):
    """The columns of some steps, as arrays."""
    names = ["picks", "scores", "seen_score"]
    names += ["key"] if "key" in steps[0][1] else []
    fetched = [
        (step, {name: keras.ops.convert_to_numpy(of[name]) for name in names})
        for step, of in steps
    ]

    def joined(name):
        return np.concatenate([chosen[name] for _, chosen in fetched])

    numbers = [step for step, _ in fetched]
    sizes = [len(chosen["picks"]) for _, chosen in fetched]
    columns = {
        "step": np.repeat(np.array(numbers, "int32"), sizes),
        "row": joined("picks").astype("int32"),
        "score": joined("scores").astype("float32"),
        "seen_score": np.repeat(
            np.array([of["seen_score"] for _, of in fetched], "float32"), sizes
        ),
    }
    if "key" in fetched[0][1]:
        columns["key"] = keys_to_hex(joined("key"))
    return columns
