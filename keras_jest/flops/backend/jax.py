"""FLOPs from the program that JAX traces, on abstract arrays.

XLA's own `cost_analysis` counts the body of a loop once, and adds what is
neither product nor convolution, which would be 1 % of a transformer.
"""

import math

import jax
import keras


def count(look, inputs, variables, trainable):
    program = jax.make_jaxpr(traced(look, variables, trainable))
    values = [abstract(variable) for variable in variables]
    inputs = keras.tree.map_structure(abstract, inputs)
    return flops_of(program(values, inputs).jaxpr)


def abstract(array):
    dtype = keras.backend.standardize_dtype(array.dtype)
    return jax.ShapeDtypeStruct(tuple(array.shape), dtype)


def traced(look, variables, trainable):
    """`look` as a function of values, with gradients if any are asked for."""
    ids = {id(variable) for variable in trainable}
    rows = [row for row, of in enumerate(variables) if id(of) in ids]

    def forward(values, inputs):
        pairs = zip(variables, values, strict=True)
        with keras.StatelessScope(pairs, collect_losses=True):
            return look(inputs)

    def gradients(values, inputs):
        def scalar(trained):
            replaced = list(values)
            for row, value in zip(rows, trained, strict=True):
                replaced[row] = value
            return scalar_of(forward(replaced, inputs))

        return jax.value_and_grad(scalar)([values[row] for row in rows])

    return gradients if rows else forward


def scalar_of(outputs):
    leaves = jax.tree.leaves(outputs)
    return sum(of.sum() for of in leaves if is_float(of))


def is_float(array):
    dtype = keras.backend.standardize_dtype(array.dtype)
    return keras.backend.is_float_dtype(dtype)


def flops_of(jaxpr):
    return sum(flops_of_equation(equation) for equation in jaxpr.eqns)


def flops_of_equation(equation):
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        return dot_flops(equation)
    if name == "conv_general_dilated":
        return convolution_flops(equation)
    if name.startswith("dot_product_attention"):  # cuDNN's.
        return attention_flops(equation)
    inner = [flops_of(of) for of in jaxprs_in(params)]
    if name == "cond":
        return max(inner)
    times = params["length"] if name == "scan" else 1
    if name == "pallas_call":
        times = math.prod(params["grid_mapping"].grid)
    return times * sum(inner)


def jaxprs_in(params):
    """The programs within an equation, whatever they are called."""
    leaves = jax.tree.leaves(
        list(params.values()), is_leaf=lambda of: hasattr(of, "eqns")
    )
    return [getattr(of, "jaxpr", of) for of in leaves if hasattr(of, "eqns")]


def dot_flops(equation):
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    size = math.prod(equation.outvars[0].aval.shape)
    return 2 * size * math.prod(left[axis] for axis in contracted)


def convolution_flops(equation):
    """Two for each pair of an output and a weight, but for zeros in between.

    In each direction a pixel, a weight and an output meet, and two of them
    tell the third. So there are no more meetings than pairs of the two that
    are fewest, also where zeros are put between pixels, as in the gradients
    of strides, or around them, as in those of a convolution without padding.
    """
    numbers = equation.params["dimension_numbers"]
    specs = (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec)
    arrays = (*equation.invars, *equation.outvars)
    shapes = [
        [of.aval.shape[axis] for axis in spec]
        for of, spec in zip(arrays, specs, strict=True)
    ]
    places = zip(*(shape[2:] for shape in shapes), strict=True)
    pairs = [math.prod(sorted(sizes)[:2]) for sizes in places]
    _, (_, channels, *_), (rows, filters, *_) = shapes
    return 2 * rows * filters * channels * math.prod(pairs)


def attention_flops(equation):
    """Scores and their mixture, and twice that to go back."""
    query, key, value = (of.aval.shape for of in equation.invars[:3])
    *_, heads, width = query
    forward = 2 * math.prod(query[:-3]) * query[-3] * key[-3] * heads
    forward *= width + value[-1]
    return 2 * forward if "bwd" in equation.primitive.name else forward
