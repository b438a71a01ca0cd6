"""Convolution by cuDNN, where it is there, for the settings at which it was measured to be faster than our kernels."""

import functools
import math
from collections.abc import Callable
from typing import Any

from dlcourse.backend import precision
from dlcourse.backend.cuda import autotune, cudnn
from dlcourse.backend.cuda.activation import relu_in_place
from dlcourse.backend.cuda.cudnn import FORWARD, INPUT_GRAD, WEIGHT_GRAD
from dlcourse.backend.cuda.program import override
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import Kernel, require
from dlcourse.backend.kernels import conv as kernels
from dlcourse.backend.kernels.conv import ConvGeometry
from dlcourse.backend.kernels.grad_buffers import copy_into, takes

ERROR = {"float32": 5e-5, "float16": 4e-3, "bfloat16": 2e-2}
TF32_ERROR = 4e-3
"""How far cuDNN's result may be from our own, as a share of its largest element: a few roundings of the result's type,
for float32 those of sums of some 100,000 terms in another order, for TF32 those of both factors to 10 bits."""


@override(kernels.conv2d, half=True, priority=2)
def conv2d(x: Array, weight: Array, bias: Array | None, geometry: ConvGeometry) -> Array:
    return _forward(kernels.conv2d, conv2d, x, weight, bias, geometry, relu=False)


@override(kernels.conv2d_relu, half=True, priority=2)
def conv2d_relu(x: Array, weight: Array, bias: Array, geometry: ConvGeometry) -> Array:
    return _forward(kernels.conv2d_relu, conv2d_relu, x, weight, bias, geometry, relu=True)


def _forward(
    of: Kernel, ours: Callable, x: Array, weight: Array, bias: Array | None, geometry: ConvGeometry, relu: bool
) -> Array:
    size = geometry.out_size(x.shape, weight.shape[1:3])
    sizes = x.shape, weight.shape, (len(x), *size, len(weight))
    return _fastest(of, ours, (x, weight, bias, geometry), FORWARD, sizes, bias, relu)


@override(kernels.conv2d_input_grad, half=True, priority=2)
def conv2d_input_grad(dout: Array, weight: Array, x_shape: tuple, geometry: ConvGeometry) -> Array:
    sizes = tuple(x_shape), weight.shape, dout.shape
    return _fastest(kernels.conv2d_input_grad, conv2d_input_grad, (dout, weight, x_shape, geometry), INPUT_GRAD, sizes)


@override(kernels.conv2d_weight_grad, half=True, priority=2)
def conv2d_weight_grad(dout: Array, x: Array, weight_shape: tuple, geometry: ConvGeometry, out: Array | None) -> Array:
    sizes = x.shape, tuple(weight_shape), dout.shape
    # Measured with arrays of their own: the ways are compared, and the destination holds one result.
    arguments = dout, x, weight_shape, geometry, None
    return _fastest(kernels.conv2d_weight_grad, conv2d_weight_grad, arguments, WEIGHT_GRAD, sizes, out=out)


def _fastest(
    of: Kernel,
    ours: Callable,
    arguments: tuple,
    which: str,
    sizes: tuple,
    bias: Array | None = None,
    relu: bool = False,
    out: Array | None = None,
) -> Array:
    """cuDNN's result; declines where it is not faster than our own kernels.

    Args:
        of, ours: the kernel, and the override of it that asks.
        arguments: the kernel's.
        which: the pass: FORWARD, INPUT_GRAD or WEIGHT_GRAD.
        sizes: shapes of x, of the weight and of the output.
        relu: whether a ReLU follows, which is a kernel of its own after cuDNN's.
        out: where the result is written, if given.
    """
    first, second, _, geometry, *_ = arguments
    require(_suits(sizes, first, second, bias) and cudnn.available())
    dtype = first.dtype.name
    tf32 = dtype == "float32" and precision.tensor_float()
    plan = first.device.id, which, sizes, *geometry, dtype, tf32
    key = "convolution", plan, bias is None, *(["relu"] if relu else [])
    error = TF32_ERROR if tf32 else ERROR[dtype]

    def candidates(target: Array | None = None) -> dict[str, autotune.Candidate]:
        return _candidates(which, plan, sizes, first, second, bias, relu, target)

    name = autotune.choose(key, lambda: of.without(ours)(*arguments), candidates, error)
    require(name != autotune.DEFAULT)
    return candidates(out)[name]()


def _suits(sizes: tuple, *arrays: Array | None) -> bool:
    """One type that cuDNN computes in, and sizes that are neither 0 nor beyond a C integer."""
    types = {array.dtype.name for array in arrays if array is not None}
    counts = [math.prod(shape) for shape in sizes]
    return len(types) == 1 and types <= set(cudnn.DATA) and min(counts) > 0 and max(counts) < 2**31


def _candidates(
    which: str,
    plan: tuple[Any, ...],
    sizes: tuple,
    first: Array,
    second: Array,
    bias: Array | None,
    relu: bool = False,
    out: Array | None = None,
) -> dict[str, autotune.Candidate]:
    """cuDNN's algorithms for it, by name; none where it has none."""
    convolution = cudnn.convolution(*plan)
    if convolution is None:
        return {}
    operands = {
        FORWARD: {"x": first, "weight": second},
        INPUT_GRAD: {"out": first, "weight": second},
        WEIGHT_GRAD: {"out": first, "x": second},
    }[which]
    *names, target = cudnn.OPERANDS[which]
    shape = dict(zip(("x", "weight", "out"), sizes, strict=True))[target]

    def compute(algorithm: cudnn.Algorithm) -> Array:
        one, other = (cudnn.readable(operands[name]) for name in names)
        direct = out is not None and takes(out, first.dtype) and cudnn.aligned(out)
        result = out if direct else array_module(first).empty(shape, dtype=first.dtype)
        convolution(algorithm, one, other, result)
        if bias is not None:
            result += bias
        result = relu_in_place(result) if relu else result
        return result if direct else copy_into(result, out)

    return {f"cuDNN {each.number}": functools.partial(compute, each) for each in convolution.algorithms}
