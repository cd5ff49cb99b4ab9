"""What each backend writes in its own way: gradients, and compiling."""

import keras


def gradients(function, arrays):
    """Gradients of a scalar function of a dict of arrays: a dict of tensors."""
    return GRADIENTS[keras.backend.backend()](function, arrays)


def compiled(function):
    """The function as one XLA program where the backend has XLA."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.jit(function)
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    return function


def started_soon(function):
    """The function as it is soonest done once, of equal result.

    JAX compiles each operation by itself if not all of them together.
    """
    return compiled(function) if keras.backend.backend() == "jax" else function


def jax_gradients(function, arrays):
    import jax

    return jax.grad(function)(arrays)


def tensorflow_gradients(function, arrays):
    import tensorflow as tf

    tensors = {key: tf.convert_to_tensor(arrays[key]) for key in arrays}
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(tensors)
    return tape.gradient(value, tensors)


def torch_gradients(function, arrays):
    import torch

    tensors = {
        key: torch.as_tensor(arrays[key]).requires_grad_() for key in arrays
    }
    function(tensors).backward()
    return {key: tensors[key].grad for key in arrays}


GRADIENTS = {
    "jax": jax_gradients,
    "tensorflow": tensorflow_gradients,
    "torch": torch_gradients,
}
