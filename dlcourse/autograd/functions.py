"""PyTorch's functions of tensors: ``dl.cat``, ``dl.exp``, ``dl.einsum``, ...

Where a tensor has a method of the same name, the function calls it: ``dl.exp(x)`` is ``x.exp()``, with all that the
method's documentation says.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from dlcourse.autograd.base import TensorBase, apply, new
from dlcourse.autograd.creation import as_tensor, paired, paired_tensors, tensor
from dlcourse.autograd.elementwise import Maximum, Minimum, Where
from dlcourse.autograd.tensor import Tensor
from dlcourse.backend import array_module
from dlcourse.backend.precision import as_dtype, is_floating
from dlcourse.errors import ArgumentError, ArgumentTypeError, ShapeError

# Those that Python has too end in _ here, and have no such end in dl.
# fmt: off
__all__ = [
    "abs_", "absolute", "acos", "acosh", "add", "addbmm", "addcdiv", "addcmul", "addmm", "addmv", "addr", "adjoint",
    "all_", "allclose", "amax", "amin", "aminmax", "any_", "arccos", "arccosh", "arcsin", "arcsinh", "arctan",
    "arctan2", "arctanh", "argmax", "argmin", "argsort", "argwhere", "asin", "asinh", "atan", "atan2", "atanh",
    "baddbmm", "bincount", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "bmm", "broadcast_to",
    "bucketize", "ceil", "chunk", "clamp", "clamp_max", "clamp_min", "clip", "clone", "copysign", "corrcoef", "cos",
    "cosh", "count_nonzero", "cov", "cross", "cummax", "cummin", "cumprod", "cumsum", "deg2rad", "diag", "diag_embed",
    "diagflat", "diagonal", "diagonal_scatter", "diff", "digamma", "dist", "div", "divide", "dot", "dsplit", "eq",
    "equal", "erf", "erfc", "exp", "exp2", "expm1", "finfo", "fix", "flatten", "flip", "fliplr", "flipud", "floor",
    "floor_divide", "fmax", "fmin", "fmod", "frac", "gather", "ge", "ger", "greater", "greater_equal", "gt",
    "heaviside", "histc", "hsplit", "hypot", "iinfo", "index_add", "index_copy", "index_fill", "index_put",
    "index_select", "inner", "is_floating_point", "is_tensor", "isclose", "isfinite", "isin", "isinf", "isnan",
    "isneginf", "isposinf", "kthvalue", "le", "lerp", "less", "less_equal", "lgamma", "log", "log10", "log1p", "log2",
    "logaddexp", "logaddexp2", "logcumsumexp", "logical_and", "logical_not", "logical_or", "logical_xor", "logit", "lt",
    "masked_fill", "masked_scatter", "masked_select", "matmul", "max_", "maximum", "mean", "median", "min_", "minimum",
    "mm", "moveaxis", "movedim", "msort", "mul", "multiply", "mv", "nan_to_num", "nanmean", "nanmedian", "nansum",
    "narrow", "ne", "neg", "negative", "nonzero", "norm", "not_equal", "numel", "outer", "permute", "pow_", "prod",
    "quantile", "rad2deg", "ravel", "reciprocal", "relu", "remainder", "repeat_interleave", "reshape", "roll", "rot90",
    "round_", "rsqrt", "scatter", "scatter_add", "scatter_reduce", "searchsorted", "select", "select_scatter",
    "sigmoid", "sign", "signbit", "sin", "sinc", "sinh", "slice_scatter", "sort", "split", "sqrt", "square", "squeeze",
    "std", "std_mean", "sub", "subtract", "sum_", "swapaxes", "swapdims", "t", "take", "take_along_dim", "tan", "tanh",
    "tensor_split", "tile", "topk", "transpose", "tril", "triu", "true_divide", "trunc", "unbind", "unflatten",
    "unique", "unique_consecutive", "unsqueeze", "var", "var_mean", "vdot", "vsplit", "where", "xlogy",
]
# fmt: on

# --- of choice --------------------------------------------------------------------------------------------------------


def where(condition: Any, a: Any = None, b: Any = None) -> Any:
    """``a`` where the condition holds, else ``b``; without both the places where it holds, a tensor an axis."""
    flags = as_tensor(condition)
    if a is None and b is None:
        return flags.nonzero(as_tuple=True)
    if a is None or b is None:
        raise ArgumentTypeError("where: expected what to take where the condition holds and where not, got one of them")
    if isinstance(a, int | float) and isinstance(b, int | float):
        a, b = (tensor(one, device=str(flags.device)) for one in (a, b))
    return apply(Where(flags._flags("where", flags)), *paired_tensors(a, b))


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of two, element by element; equal ones share the gradient."""
    return apply(Maximum(), *paired(a, b))


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of two, element by element; equal ones share the gradient."""
    return apply(Minimum(), *paired(a, b))


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor."""
    return isinstance(value, TensorBase)


def is_floating_point(x: TensorBase) -> bool:
    """Whether the elements have a fraction."""
    return is_floating(x.dtype)


def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Tensor:
    """Where each number would be put into an ascending vector, before equal ones or with ``right`` behind them; of
    several rows of numbers and as many vectors row by row.

    Args:
        out_int32: the result is int32, else int64.
        side: "left" or "right", another way to say ``right``.
        sorter: the places of the vector's elements in order, where it is not ascending.
    Raises:
        ShapeError: there are neither one vector nor as many as rows.
        ArgumentError: ``side`` is neither, or contradicts ``right``.
    """
    ordered, given = as_tensor(sorted_sequence), as_tensor(input, like=as_tensor(sorted_sequence))
    chosen = ("right" if right else "left") if side is None else side
    if chosen not in ("left", "right") or (right and chosen == "left"):
        raise ArgumentError(f"searchsorted: side is 'left' or 'right', got {side!r} with right={right}")
    if sorter is not None:
        ordered = ordered.take_along_dim(sorter, -1)
    kind = "int32" if out_int32 else "int64"
    rows, numbers, xp = ordered.data, given.data, array_module(ordered.data)
    if rows.ndim == 1:
        return new(xp.asarray(xp.searchsorted(rows, numbers, chosen)).astype(kind))
    if rows.shape[:-1] != numbers.shape[:-1]:
        raise ShapeError(f"searchsorted: vectors of shape {rows.shape} do not go with numbers of {numbers.shape}")
    found = xp.zeros(numbers.shape, dtype=kind)
    for place in np.ndindex(rows.shape[:-1]):
        found[place] = xp.searchsorted(rows[place], numbers[place], chosen)
    return new(found)


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """The number of the interval between ascending boundaries in which each number lies, its upper end included; with
    ``right`` its lower end."""
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element is one of the test elements."""
    given = as_tensor(elements)
    xp = array_module(given.data)
    tests = as_tensor(test_elements, like=given).data
    return new(xp.asarray(xp.isin(given.data, tests, assume_unique=assume_unique, invert=invert)))


def finfo(dtype: Any = "float32") -> Any:
    """The limits of a floating-point type: ``max``, ``min``, ``eps``, ``tiny``."""
    return np.finfo(as_dtype(dtype))


def iinfo(dtype: Any) -> Any:
    """The limits of a type of whole numbers: ``max``, ``min``, ``bits``."""
    return np.iinfo(as_dtype(dtype))


# --- a tensor's methods -----------------------------------------------------------------------------------------------


def _of_methods(names: str) -> list[Callable[..., Any]]:
    """The functions of these names."""
    return [_of_method(name.removesuffix("_")) for name in names.split()]


def _of_method(name: str) -> Callable[..., Any]:
    method = getattr(Tensor, name)

    def function(x: Any, *args: Any, **options: Any) -> Any:
        return method(as_tensor(x), *args, **options)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``x.{name}(...)``: {method.__doc__}"
    return function


def _extreme(name: str) -> Callable[..., Any]:
    choice = {"max": maximum, "min": minimum}[name]

    def function(x: Any, other: Any = None, **options: Any) -> Any:
        if isinstance(other, TensorBase):
            return choice(x, other)
        if isinstance(other, int):  # of this function PyTorch's is the only meaning
            options["dim"] = other
        return getattr(as_tensor(x), name)(**options)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The {name}imum of all elements; with ``dim`` values and indices; of two tensors, of each pair."
    return function


max_, min_ = _extreme("max"), _extreme("min")
exp, log, sqrt, abs_, absolute, tanh, relu, sigmoid = _of_methods("exp log sqrt abs_ absolute tanh relu sigmoid")
square, reciprocal, rsqrt, exp2, expm1 = _of_methods("square reciprocal rsqrt exp2 expm1")
log1p, log2, log10, logit = _of_methods("log1p log2 log10 logit")
sin, cos, tan, deg2rad, rad2deg = _of_methods("sin cos tan deg2rad rad2deg")
asin, acos, atan, arcsin, arccos, arctan = _of_methods("asin acos atan arcsin arccos arctan")
sinh, cosh, asinh, acosh, atanh = _of_methods("sinh cosh asinh acosh atanh")
arcsinh, arccosh, arctanh = _of_methods("arcsinh arccosh arctanh")
erf, erfc, sinc, lgamma, digamma = _of_methods("erf erfc sinc lgamma digamma")
heaviside, histc, cov, corrcoef = _of_methods("heaviside histc cov corrcoef")
sign, floor, ceil, trunc, fix, round_, frac = _of_methods("sign floor ceil trunc fix round_ frac")
atan2, arctan2, hypot, xlogy, copysign = _of_methods("atan2 arctan2 hypot xlogy copysign")
logaddexp, logaddexp2, fmod, fmax, fmin = _of_methods("logaddexp logaddexp2 fmod fmax fmin")
add, sub, mul, div, neg, pow_, remainder = _of_methods("add sub mul div neg pow_ remainder")
subtract, multiply, negative, divide = _of_methods("subtract multiply negative divide")
true_divide, floor_divide = _of_methods("true_divide floor_divide")
lerp, addcmul, addcdiv, dist, cross, isclose = _of_methods("lerp addcmul addcdiv dist cross isclose")
matmul, mm, bmm, mv, dot, vdot, outer, ger, inner = _of_methods("matmul mm bmm mv dot vdot outer ger inner")
addmm, addmv, addr, baddbmm, addbmm = _of_methods("addmm addmv addr baddbmm addbmm")
eq, ne, lt, le, gt, ge, equal, allclose = _of_methods("eq ne lt le gt ge equal allclose")
not_equal, less, less_equal, greater, greater_equal = _of_methods("not_equal less less_equal greater greater_equal")
logical_and, logical_or, logical_not, logical_xor = _of_methods("logical_and logical_or logical_not logical_xor")
bitwise_and, bitwise_or, bitwise_xor, bitwise_not = _of_methods("bitwise_and bitwise_or bitwise_xor bitwise_not")
isnan, isinf, isfinite, isposinf, isneginf, signbit = _of_methods("isnan isinf isfinite isposinf isneginf signbit")
nan_to_num, clamp, clip, clamp_min, clamp_max = _of_methods("nan_to_num clamp clip clamp_min clamp_max")
all_, any_, count_nonzero, nonzero, argwhere = _of_methods("all_ any_ count_nonzero nonzero argwhere")
sum_, mean, prod, nansum, nanmean, norm = _of_methods("sum_ mean prod nansum nanmean norm")
std, var, std_mean, var_mean = _of_methods("std var std_mean var_mean")
argmax, argmin, amax, amin, aminmax = _of_methods("argmax argmin amax amin aminmax")
median, nanmedian, quantile, kthvalue = _of_methods("median nanmedian quantile kthvalue")
cumsum, cumprod, logcumsumexp, cummax, cummin, diff = _of_methods("cumsum cumprod logcumsumexp cummax cummin diff")
reshape, flatten, unflatten, ravel, squeeze, unsqueeze = _of_methods(
    "reshape flatten unflatten ravel squeeze unsqueeze"
)
transpose, permute, movedim, moveaxis, swapaxes, swapdims, t, adjoint = _of_methods(
    "transpose permute movedim moveaxis swapaxes swapdims t adjoint"
)
roll, flip, fliplr, flipud, rot90, tile, repeat_interleave = _of_methods(
    "roll flip fliplr flipud rot90 tile repeat_interleave"
)
split, chunk, unbind, tensor_split, hsplit, vsplit, dsplit = _of_methods(
    "split chunk unbind tensor_split hsplit vsplit dsplit"
)
narrow, select, broadcast_to = _of_methods("narrow select broadcast_to")
tril, triu, diag, diagonal, diag_embed, diagflat = _of_methods("tril triu diag diagonal diag_embed diagflat")
gather, take_along_dim, take, index_select = _of_methods("gather take_along_dim take index_select")
masked_select, masked_fill, masked_scatter = _of_methods("masked_select masked_fill masked_scatter")
scatter, scatter_add, scatter_reduce = _of_methods("scatter scatter_add scatter_reduce")
index_add, index_copy, index_fill, index_put = _of_methods("index_add index_copy index_fill index_put")
select_scatter, slice_scatter, diagonal_scatter = _of_methods("select_scatter slice_scatter diagonal_scatter")
sort, argsort, msort, topk, unique, unique_consecutive = _of_methods(
    "sort argsort msort topk unique unique_consecutive"
)
bincount, clone, numel = _of_methods("bincount clone numel")
