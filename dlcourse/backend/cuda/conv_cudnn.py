"""Convolution by cuDNN, where it is there, for the settings at which it was measured to be faster than our own kernels.

``@or_cudnn(FORWARD)`` under ``@override(kernels.conv2d, "cuda")`` makes the function below it our own way, one of
several.
"""

import functools
import math
from collections.abc import Callable

from dlcourse.backend import precision
from dlcourse.backend.cuda import autotune, cudnn
from dlcourse.backend.cuda.activation import relu_in_place
from dlcourse.backend.cuda.cudnn import FORWARD, INPUT_GRAD, WEIGHT_GRAD
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels.conv import out_size

Pair = tuple[int, int]

ERROR = {"float32": 5e-5, "float16": 4e-3, "bfloat16": 2e-2}
TF32_ERROR = 4e-3
"""How far cuDNN's result may be from our own, as a share of its largest element: a few roundings of the result's type,
for float32 those of sums of some 100,000 terms in another order, for TF32 those of both factors to 10 bits."""


def or_cudnn(which: str, relu: bool = False) -> Callable[[Callable], Callable]:
    """Have one of the three kernels of a convolution done by cuDNN where that is faster.

    The kernels' first two arguments are arrays; the third is the bias of a forward pass, else the shape of the result.

    Args:
        which: the pass: FORWARD, INPUT_GRAD or WEIGHT_GRAD.
        relu: whether a ReLU follows, which is a kernel of its own after cuDNN's.
    """

    def declare(own: Callable) -> Callable:
        @functools.wraps(own)
        def either(
            first: Array, second: Array, third: Array | tuple | None,
            stride: Pair, padding: Pair, dilation: Pair, groups: int,
        ) -> Array:  # fmt: skip
            settings = stride, padding, dilation, groups
            bias = third if which == FORWARD else None
            sizes = _sizes(which, first, second, third, settings)
            if not _suits(sizes, first, second, bias) or not cudnn.available():
                return own(first, second, third, *settings)
            dtype = first.dtype.name
            tf32 = dtype == "float32" and precision.tensor_float()
            plan = first.device.id, which, sizes, *settings, dtype, tf32
            return autotune.run(
                ("convolution", plan, bias is None, *(["relu"] if relu else [])),
                lambda: own(first, second, third, *settings),
                lambda: _ways(which, plan, sizes, first, second, bias, relu),
                TF32_ERROR if tf32 else ERROR[dtype],
            )

        return either

    return declare


def _sizes(which: str, first: Array, second: Array, third: Array | tuple | None, settings: tuple) -> tuple:
    """Shapes of x, of the weight and of the output."""
    if which == FORWARD:
        size = out_size(first.shape, second.shape[1:3], *settings[:3])
        return first.shape, second.shape, (len(first), *size, len(second))
    if which == INPUT_GRAD:
        return tuple(third), second.shape, first.shape
    return second.shape, tuple(third), first.shape


def _suits(sizes: tuple, *arrays: Array | None) -> bool:
    """One type that cuDNN computes in, and sizes that are neither 0 nor beyond a C integer."""
    types = {array.dtype.name for array in arrays if array is not None}
    counts = [math.prod(shape) for shape in sizes]
    return len(types) == 1 and types <= set(cudnn.DATA) and min(counts) > 0 and max(counts) < 2**31


def _ways(
    which: str, plan: tuple, sizes: tuple, first: Array, second: Array, bias: Array | None, relu: bool
) -> dict[str, autotune.Way]:
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
        read = [cudnn.readable(operands[name]) for name in names]
        result = array_module(first).empty(shape, dtype=first.dtype)
        convolution(algorithm, *read, result)
        if bias is not None:
            result += bias
        return relu_in_place(result) if relu else result

    return {f"cuDNN {each.number}": functools.partial(compute, each) for each in convolution.algorithms}
