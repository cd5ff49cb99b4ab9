"""Models that are exported, and what their files say by their runtimes."""

import contextlib
import io
import pathlib

import keras
import numpy as np

FORMATS = {
    "jax": ["tf_saved_model"],
    "tensorflow": ["tf_saved_model", "onnx", "litert"],
    "torch": ["torch", "onnx"],
}[keras.backend.backend()]
SUFFIXES = {"torch": ".pt2", "onnx": ".onnx", "litert": ".tflite"}


def export(model, format, folder, **kwargs):
    """Export a model without a word; return the path as a string."""
    folder.mkdir(exist_ok=True)
    number = len(list(folder.iterdir()))
    path = str(folder / f"{number}{SUFFIXES.get(format, '')}")
    with contextlib.redirect_stdout(io.StringIO()):
        model.export(path, format=format, verbose=False, **kwargs)
    return path


def free_batch(format, batch):
    """What Keras must be told for files that take batches of any size."""
    if format != "torch":
        return {}
    import torch

    sizes = {0: torch.export.Dim("batch")}
    return {"dynamic_shapes": keras.tree.map_structure(lambda _: sizes, batch)}


def fixed_batch(batch):
    """The signature of a model that takes batches like this one alone."""
    if not isinstance(batch, dict):
        return [keras.InputSpec(shape=batch.shape, dtype=str(batch.dtype))]
    return [
        {
            name: keras.InputSpec(
                shape=array.shape, dtype=str(array.dtype), name=name
            )
            for name, array in batch.items()
        }
    ]


def run(path, batch):
    """The outputs of an exported model, a dict if it names several."""
    runtime = RUNTIMES[pathlib.Path(path).suffix]
    return keras.tree.map_structure(np.asarray, runtime(path, batch))


def by_names(batch, names):
    """The arrays by the names of a file, which numbers those without any."""
    if isinstance(batch, dict) and set(names) == set(batch):
        return batch
    return dict(zip(names, keras.tree.flatten(batch), strict=True))


def run_saved_model(path, batch):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)  # It goes, and its variables with it.
    return loaded.serve(batch)


def run_onnx(path, batch):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [spec.name for spec in session.get_inputs()]
    outputs = session.run(None, by_names(batch, names))
    names = [spec.name for spec in session.get_outputs()]
    return dict(zip(names, outputs, strict=True)) if names[1:] else outputs[0]


def run_litert(path, batch):
    import tensorflow as tf

    runner = tf.lite.Interpreter(model_path=path).get_signature_runner()
    outputs = runner(**by_names(batch, list(runner.get_input_details())))
    return outputs if len(outputs) > 1 else next(iter(outputs.values()))


def run_torch(path, batch):
    import torch

    tensors = keras.tree.map_structure(torch.as_tensor, batch)
    outputs = torch.export.load(path).module()(tensors)
    return keras.tree.map_structure(lambda tensor: tensor.detach(), outputs)


RUNTIMES = {
    "": run_saved_model,
    ".onnx": run_onnx,
    ".tflite": run_litert,
    ".pt2": run_torch,
}


def assert_same_outputs(got, expected):
    """Equal up to the order of additions.

    Two programs add some hundred float32 numbers, of about 1, in another
    order: 1e-7 for each. Scales of 10 and ids near it make it 1e-5.
    """
    if not isinstance(expected, dict):
        got, expected = {"": got}, {"": expected}
    assert sorted(got) == sorted(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-5)
