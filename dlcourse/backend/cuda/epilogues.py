"""Products whose kernel does more than add a bias: an activation after it, or a bias's gradient beside it.

Where cuBLASLt has nothing for the types, shapes or layouts, separate kernels do it.
"""

from typing import Any

import numpy as np

from dlcourse.backend.cuda.blas import Epilogue, NotSupported, Plan, planned
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import activation, require

GELU_DISTANCE = 8
"""The leading dimension of GELU's second matrix is a multiple of so many elements."""
ROUNDINGS = 8
"""By how many the library's GELU may differ from ours, of numbers near 1 or of its own size."""
ROUNDING = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def relu(x: Array, weight: Array, bias: Array, y: Array) -> bool:
    """y <- max(x W^T + b, 0) with NaN let through; whether it was done."""
    return _activated(x, weight, bias, y, Epilogue.RELU_BIAS, None)


def gelu_tanh(x: Array, weight: Array, bias: Array) -> tuple[Array, Array]:
    """GELU(z) in its tanh form and z = x W^T + b; declines where that cannot be done."""
    require(len(weight) % GELU_DISTANCE == 0)
    xp = array_module(x)
    y, z = (xp.empty((len(x), len(weight)), dtype=x.dtype) for _ in range(2))
    require(_activated(x, weight, bias, y, Epilogue.GELU_AUX_BIAS, z))
    return y, z


def weight_and_bias_grad(dy: Array, x: Array, dweight: Array, dbias: Array) -> bool:
    """dW <- dy^T x and db <- the sums of dy (M, O) over its rows; whether it was done."""
    if not _suits(dy, x, dweight, dbias):
        return False
    plan = planned(dy.T, x, dweight, Epilogue.BGRADB, dbias)
    if plan is None or _seen.get(plan.kernel) is False:
        return False
    try:
        plan(dy.T, x, dweight, vector=dbias)
    except NotSupported:
        _seen[plan.kernel] = False
        return False
    return True


def _activated(x: Array, weight: Array, bias: Array, y: Array, epilogue: Epilogue, aux: Array | None) -> bool:
    if not _suits(x, weight, bias, y):
        return False
    plan = planned(x, weight.T, y, epilogue, bias)
    if plan is None or not _serves(plan, x, weight, bias, y, aux):
        return False
    plan(x, weight.T, y, vector=bias, aux=aux)
    return True


def _suits(*arrays: Array) -> bool:
    """float64 has no epilogues; a vector's elements lie together, and there is something in each array."""
    whole = all(array.size and (array.ndim > 1 or array.flags.c_contiguous) for array in arrays)
    return whole and arrays[0].dtype != np.float64


_seen: dict[tuple, bool] = {}
"""Of each kernel that was tried, whether it serves."""


def _serves(plan: Plan, x: Array, weight: Array, bias: Array, y: Array, aux: Array | None) -> bool:
    """Whether the plan's activation is the one that is meant: NaN comes through, and GELU is as exact as our kernel's.

    cuBLASLt's documentation says "max(x, 0)", which a GPU's own maximum makes 0 of NaN, while a net that has diverged
    has to say so; and it does not say how well it approximates GELU's tanh. So each kernel is tried once, with a bias
    of NaN and, for GELU, with the real one. While a step is being captured nothing can be read back: one that was
    not tried until then is not taken. (Steps run eagerly before one is captured.)
    """
    if plan.kernel not in _seen:
        xp: Any = array_module(x)
        if xp.cuda.get_current_stream().is_capturing():
            return False
        nothing = xp.full(len(weight), np.nan, dtype=np.float32).astype(x.dtype)
        try:
            plan(x, weight.T, y, vector=nothing, aux=aux)
            serves = bool(xp.isnan(y.astype(np.float32)).all())
            if serves and aux is not None:
                plan(x, weight.T, y, vector=bias, aux=aux)
                serves = _close(y, activation.gelu_tanh(aux))
            _seen[plan.kernel] = serves
        except NotSupported:
            _seen[plan.kernel] = False
    return _seen[plan.kernel]


def _close(result: Array, expected: Array) -> bool:
    """Whether two results of one type are some roundings apart where they are numbers, and neither is one elsewhere."""
    xp, error = array_module(result), ROUNDINGS * ROUNDING[result.dtype.name]
    first, second = result.astype(np.float32), expected.astype(np.float32)
    apart = xp.abs(first - second) <= error * xp.maximum(xp.abs(second), 1)
    return bool((apart | (first == second) | (xp.isnan(first) & xp.isnan(second))).all())
