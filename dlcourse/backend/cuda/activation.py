"""Activations on the GPU: one kernel each, bound by memory."""

import functools

import numpy as np

from dlcourse.backend.cuda.program import contiguous, override, packs_of, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import Kernel, require, special
from dlcourse.backend.kernels import activation as kernels


def _elementwise(of: Kernel, name: str) -> None:
    """Declare the override that is the CUDA kernel of that name, on arrays of one shape and type."""

    @override(of, half=True)
    @functools.wraps(of.reference)
    def call(*arrays: Array) -> Array:
        suffix, first, xp = type_suffix(*arrays), arrays[0], array_module(arrays[0])
        require(all(array.shape == first.shape for array in arrays))
        y = xp.empty(first.shape, dtype=first.dtype)
        arguments = *contiguous(*arrays), y, np.int64(first.size)
        program("activation").launch_over(packs_of(first), f"{name}_{suffix}", *arguments)
        return y


for _kernel in (kernels.relu, kernels.relu_grad, kernels.add, kernels.add_relu, special.normal_cdf):
    _elementwise(_kernel, _kernel.name)
for _kernel in (kernels.sigmoid, kernels.sigmoid_grad, kernels.silu, kernels.silu_grad):
    _elementwise(_kernel, _kernel.name)
for _kernel in (kernels.gelu_tanh, kernels.gelu_tanh_grad, kernels.gelu, kernels.gelu_grad):
    _elementwise(_kernel, _kernel.name)
_elementwise(special.erf, "error_function")  # C++ has an erf


def relu_in_place(x: Array) -> Array:
    """x <- max(x, 0) of a contiguous array of a type that has kernels; returns it."""
    program("activation").launch_over(packs_of(x), f"relu_{type_suffix(x)}", x, x, np.int64(x.size))
    return x
