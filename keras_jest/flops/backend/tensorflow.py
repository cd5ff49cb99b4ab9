"""FLOPs from the graph that TensorFlow traces, which is not run.

TensorFlow's own profiler knows no `Einsum`, of which attention is made, no
body of a loop or function, as grouped convolutions are, and counts gradients
of batched products twice: it was 2 % below a transformer's forward pass and
90 % above its training pass.
"""

import contextlib
import math

import keras
import tensorflow as tf


def count(look, inputs, variables, trainable):
    del variables  # A graph names them, and holds no copies.

    def forward(rows):
        with keras.StatelessScope(collect_losses=True):
            return look(rows)

    def gradients(rows):
        values = [variable.value for variable in trainable]
        with tf.GradientTape() as tape:
            scalar = scalar_of(forward(rows))
        return scalar, tape.gradient(scalar, values)

    function = tf.function(gradients if trainable else forward, autograph=False)
    inputs = keras.tree.map_structure(
        lambda array: tf.TensorSpec(array.shape, array.dtype), inputs
    )
    return flops_of(function.get_concrete_function(inputs).graph)


def scalar_of(outputs):
    leaves = keras.tree.flatten(outputs)
    return tf.add_n(
        [
            tf.cast(tf.reduce_sum(of), "float32")
            for of in leaves
            if of.dtype.is_floating
        ]
    )


def flops_of(graph, outputs=None):
    """FLOPs of what some outputs of a graph, by default all, need."""
    waiting = list(graph.outputs if outputs is None else outputs)
    needed, total = {}, 0
    while waiting:
        tensor = waiting.pop()
        operation = tensor.op
        places = needed.setdefault(operation.name, set())
        if not places:
            waiting.extend(operation.inputs)
            total += own_flops(operation)
        places.add(tensor.value_index)
    calls = [graph.get_operation_by_name(name) for name in needed]
    return total + sum(inner_flops(of, graph, needed[of.name]) for of in calls)


def own_flops(operation):
    kind = operation.type
    if kind == "Einsum":
        return einsum_flops(operation)
    if kind in ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"):
        return product_flops(operation)
    if kind.startswith(("Conv2D", "Conv3D", "DepthwiseConv2dNative")):
        return convolution_flops(operation)
    return 0


def inner_flops(operation, graph, places):
    """FLOPs of the functions, bodies and branches that an operation calls."""
    names = []
    for name in operation.node_def.attr:
        value = operation.node_def.attr[name]
        names += [of.name for of in (value.func, *value.list.func) if of.name]
    # There is no public way from a graph to the functions in it.
    found = [graph._get_function(name) for name in names]
    graphs = [of.graph for of in found if of is not None]
    if operation.type in ("PartitionedCall", "StatefulPartitionedCall"):
        of = graphs[0]
        return flops_of(of, [of.outputs[place] for place in places])
    inner = [flops_of(of) for of in graphs]
    if operation.type in ("If", "StatelessIf", "Case", "StatelessCase"):
        return max(inner)
    is_loop = operation.type in ("While", "StatelessWhile")
    return (times(operation) if is_loop else 1) * sum(inner)


def times(loop):
    """How often a loop runs, where it is known beforehand, else 1."""
    most = tf.get_static_value(loop.inputs[1])
    if most is None:
        # It may be made of constants, as that of recurrent layers is.
        with contextlib.suppress(tf.errors.InvalidArgumentError):
            with tf.compat.v1.Session(graph=loop.graph) as session:
                most = session.run(loop.inputs[1])
    return int(most) if most is not None and most > 0 else 1


def product_flops(operation):
    attributes = operation.node_def.attr
    is_turned = attributes["transpose_a"].b or attributes["adj_x"].b
    contracted = operation.inputs[0].shape[-2 if is_turned else -1]
    return 2 * math.prod(operation.outputs[0].shape) * contracted


def einsum_flops(operation):
    """Two for each combination of all letters of an equation."""
    equation = operation.get_attr("equation").decode().replace("...", "")
    sizes = {}
    letters = equation.partition("->")[0].split(",")
    for names, array in zip(letters, operation.inputs, strict=True):
        named = zip(reversed(names), reversed(array.shape), strict=False)
        sizes.update(named)
    return 2 * math.prod(sizes.values()) if len(letters) > 1 else 0


def convolution_flops(operation):
    """Two for each pixel of a convolution's output and weight of its kernel.

    In its gradients the output is what comes back.
    """
    if "BackpropFilter" in operation.type:
        kernel, pixels = operation.outputs[0], operation.inputs[2]
    elif "BackpropInput" in operation.type:
        kernel, pixels = operation.inputs[1], operation.inputs[2]
    else:
        kernel, pixels = operation.inputs[1], operation.outputs[0]
    shape = kernel.shape
    if not shape.is_fully_defined():  # It is an input, of a gradient.
        shape = tf.get_static_value(operation.inputs[1])
    num_kept = 2 if operation.type.startswith("Depthwise") else 1
    return 2 * math.prod(pixels.shape) * math.prod(shape[:-num_kept])
