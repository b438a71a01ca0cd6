"""Activations on the GPU: one kernel each, bound by memory."""

import numpy as np

from dlcourse.backend.cuda.program import grid_for_packs, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import activation as kernels
from dlcourse.backend.kernels import override, special

THREADS = 256


def _elementwise(kernel: str, *arrays: Array) -> Array:
    """The CUDA kernel of that name on arrays of one shape and of a type that it is there for."""
    name, first = type_suffix(*arrays), arrays[0]
    if name is None or not first.size or any(array.shape != first.shape for array in arrays):
        return NotImplemented
    xp = array_module(first)
    arrays = tuple(map(xp.ascontiguousarray, arrays))
    y = xp.empty(first.shape, dtype=first.dtype)
    program("activation").launch(
        f"{kernel}_{name}", grid_for_packs(first, THREADS), (THREADS,), (*arrays, y, np.int64(first.size))
    )
    return y


@override(kernels.relu, "cuda", half=True)
def relu(x: Array) -> Array:
    return _elementwise("relu", x)


def relu_in_place(x: Array) -> Array:
    """x <- max(x, 0) of a contiguous array of a type that has kernels; returns it."""
    size = np.int64(x.size)
    program("activation").launch(f"relu_{type_suffix(x)}", grid_for_packs(x, THREADS), (THREADS,), (x, x, size))
    return x


@override(kernels.relu_grad, "cuda", half=True)
def relu_grad(dout: Array, y: Array) -> Array:
    return _elementwise("relu_grad", dout, y)


@override(kernels.add, "cuda", half=True)
def add(a: Array, b: Array) -> Array:
    return _elementwise("add", a, b)


@override(kernels.add_relu, "cuda", half=True)
def add_relu(a: Array, b: Array) -> Array:
    return _elementwise("add_relu", a, b)


@override(kernels.gelu_tanh, "cuda", half=True)
def gelu_tanh(x: Array) -> Array:
    return _elementwise("gelu_tanh", x)


@override(kernels.gelu_tanh_grad, "cuda", half=True)
def gelu_tanh_grad(dout: Array, x: Array) -> Array:
    return _elementwise("gelu_tanh_grad", dout, x)


@override(kernels.gelu, "cuda", half=True)
def gelu(x: Array) -> Array:
    return _elementwise("gelu", x)


@override(kernels.gelu_grad, "cuda", half=True)
def gelu_grad(dout: Array, x: Array) -> Array:
    return _elementwise("gelu_grad", dout, x)


@override(special.normal_cdf, "cuda", half=True)
def normal_cdf(x: Array) -> Array:
    return _elementwise("normal_cdf", x)


@override(special.erf, "cuda", half=True)
def erf(x: Array) -> Array:
    return _elementwise("error_function", x)
