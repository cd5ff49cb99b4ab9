"""FLOPs from torch's own counter, on tensors that are not there."""

import contextlib
import math

import keras
import torch
from keras.src.random.seed_generator import global_seed_generator
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode


def count(look, inputs, variables, trainable):
    # Made below it would be fake, and the seed of all that is to come.
    global_seed_generator()
    counter = FlopCounterMode(display=False, custom_mapping=formulas())
    ids = {id(variable) for variable in trainable}
    with contextlib.ExitStack() as stack:
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        pairs = [(of, empty(of.shape, of.value.dtype)) for of in variables]
        trained = [value for of, value in pairs if id(of) in ids]
        for value in trained:
            value.requires_grad_()
        inputs = keras.tree.map_structure(empty_like, inputs)
        stack.enter_context(torch.set_grad_enabled(bool(trained)))
        stack.enter_context(keras.StatelessScope(pairs, collect_losses=True))
        stack.enter_context(counter)
        stack.enter_context(ZeroForNumbers())
        outputs = look(inputs)
        if trained:
            scalar = scalar_of(outputs)
            torch.autograd.grad(scalar, trained, allow_unused=True)
    return counter.get_total_flops()


class ZeroForNumbers(TorchDispatchMode):
    """Gives 0 where a number is read from a tensor that holds none.

    So is the seed of a dropout, and on it no count depends.
    """

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            kind = args[0].dtype
            is_float = kind.is_floating_point
            return False if kind == torch.bool else 0.0 if is_float else 0
        return function(*args, **(kwargs or {}))


def empty_like(array):
    # Torch has no function of a type by its name.
    return keras.ops.empty(tuple(array.shape), array.dtype)


def empty(shape, dtype):
    device = keras.ops.empty((0,)).device
    return torch.empty(tuple(shape), dtype=dtype, device=device)


def scalar_of(outputs):
    leaves = keras.tree.flatten(outputs)
    return sum(of.float().sum() for of in leaves if of.is_floating_point())


def formulas():
    """Where torch's counter has none, or another idea of them.

    It knows no attention on CPUs, counts in that of GPUs what flash attention
    does twice, and has no groups in the gradients of convolutions.
    """
    found = {torch.ops.aten.convolution_backward: convolution_backward}
    for kind in ("flash", "efficient", "cudnn", "flash_cpu"):
        name = f"_scaled_dot_product_{kind.partition('_')[0]}_attention"
        suffix = "_for_cpu" if kind.endswith("cpu") else ""
        for way, formula in (
            ("", attention),
            ("_backward", attention_backward),
        ):
            op = getattr(torch.ops.aten, f"{name}{suffix}{way}", None)
            if op is not None:
                found[op] = formula
    return found


def attention(query, key, value, *others, out_shape=None, **kwargs):
    *batch, length, width = query
    products = math.prod(batch) * length * key[-2]
    return 2 * products * (width + value[-1])


def attention_backward(gradient, query, key, value, *others, **kwargs):
    return 2 * attention(query, key, value)


def convolution_backward(gradient, inputs, kernel, *others, **kwargs):
    is_transposed, _, _, asked_for = others[-4:]
    pixels = inputs if is_transposed else gradient
    products = pixels[0] * math.prod(pixels[2:]) * math.prod(kernel)
    return 2 * products * sum(asked_for[:2])
