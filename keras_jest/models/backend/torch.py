"""Lists of one batch, on torch."""

import functools

import keras
import torch


def first_batch(model, arguments):
    del model
    (batches,) = arguments
    return batches[0], arguments


next_batch = first_batch


def hand_back(model, arguments):
    """Do nothing: Keras takes nothing from a model on torch."""


def copied_values(model, arguments):
    """The variables of a step, each with a copy of its value."""
    del arguments
    return [(of, of.value.detach().clone()) for of in model.variables]


def predict_batches(model, batches):
    inputs = ((batch,) for batch in batches)
    return model.predict(inputs, steps=len(batches), verbose=0)


def export(model, keras_export, filepath, format, verbose, signature, **kwargs):
    """Export as Keras does, but for ONNX.

    For batches of any size Keras asks torch's older exporter, which cannot
    take the width of a `LayerNormalization` from a tensor, and it numbers the
    outputs. The newer one cannot trace some recurrent layers, so that both
    are asked.
    """
    by_keras = functools.partial(
        keras_export, filepath, format, verbose, signature, **kwargs
    )
    if format != "onnx":
        by_keras()
        return
    try:
        program = traced(model, signature)
    except RuntimeError as error:
        export_or_explain(by_keras, model, error)
        return
    program = torch.onnx.export(
        program,
        input_names=names_of(signature[0], "inputs"),
        output_names=names_of(output_of(model, signature), "outputs"),
        verbose=verbose is not False,
        **kwargs,
    )
    program.save(filepath)  # One file, unless it gets larger than ONNX allows.


def export_or_explain(by_keras, model, error):
    try:
        by_keras()
    except Exception:
        raise ValueError(
            f"Torch can export a layer of '{model.name}' for batches of one "
            "size only. Give that size to `export`, as that of the first "
            "axes in an `input_signature`: `docs/export.md` shows how."
        ) from error


def traced(model, signature):
    """The program of a model for inputs whose free sizes stay free."""
    batch = torch.export.Dim("batch")

    def free_sizes(spec):
        free = [axis for axis, size in enumerate(spec.shape) if size is None]
        return {
            axis: torch.export.Dim.DYNAMIC if axis else batch for axis in free
        }

    return torch.export.export(
        model.eval(),
        samples(signature),
        # One list: Keras' models have one argument, `*args`.
        dynamic_shapes=[samples(signature, free_sizes)],
        strict=False,
    )


def sample(spec):
    # Two where any size will do: torch takes sizes of one for fixed.
    return keras.ops.ones([size or 2 for size in spec.shape], spec.dtype)


def samples(signature, make=sample):
    return tuple(keras.tree.map_structure(make, list(signature)))


def output_of(model, signature):
    with torch.no_grad():
        return model(*samples(signature), training=False)


def names_of(structure, name):
    return list(structure) if isinstance(structure, dict) else [name]
