"""PyTorch's functions of tensors: ``dl.cat``, ``dl.exp``, ``dl.einsum``, ...

Where a tensor has a method of the same name, the function calls it: ``dl.exp(x)`` is ``x.exp()``, with all that the
method's documentation says.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlcourse.autograd import axes, shape
from dlcourse.autograd.base import TensorBase, apply
from dlcourse.autograd.creation import as_tensor, of_one_type, paired, paired_tensors, tensor
from dlcourse.autograd.elementwise import Maximum, Minimum, Where
from dlcourse.autograd.numpy_functions import FUNCTIONS
from dlcourse.autograd.tensor import Tensor
from dlcourse.backend.precision import is_floating

# Those that Python has too end in _ here, and have no such end in dl.
# fmt: off
__all__ = [
    "abs_", "absolute", "acos", "acosh", "add", "all_", "allclose", "amax", "amin", "any_", "arccos", "arccosh",
    "arcsin", "arcsinh", "arctan", "arctanh", "argmax", "argmin", "argsort", "asin", "asinh", "atan", "atanh",
    "bincount", "bmm", "cat", "ceil", "chunk", "clamp", "clip", "clone", "concat", "concatenate", "cos", "cosh",
    "cumsum", "deg2rad", "diag", "diagonal", "div", "dot", "eq", "equal", "erf", "erfc", "exp", "exp2", "expm1",
    "fix", "flatten", "flip", "floor", "frac", "gather", "ge", "gt", "hstack", "index_select", "is_floating_point",
    "is_tensor", "isfinite", "isinf", "isnan", "le", "log", "log10", "log1p", "log2", "logical_and", "logical_not",
    "logical_or", "logit", "lt", "masked_fill", "masked_select", "matmul", "max_", "maximum", "mean", "min_",
    "minimum", "mm", "movedim", "mul", "mv", "ne", "neg", "nonzero", "norm", "numel", "outer", "permute", "pow_",
    "prod", "rad2deg", "reciprocal", "relu", "remainder", "reshape", "round_", "rsqrt", "sigmoid", "sign", "sin",
    "sinc", "sinh", "sort", "split", "sqrt", "square", "squeeze", "stack", "std", "sub", "sum_", "t", "tan", "tanh",
    "tile", "topk", "transpose", "tril", "triu", "trunc", "unbind", "unique", "unsqueeze", "var", "vstack", "where",
]
# fmt: on

# --- of several tensors -----------------------------------------------------------------------------------------------


def cat(tensors: Sequence[Any], dim: Any = 0, *, axis: Any = None) -> Tensor:
    """The tensors joined along an axis that they have; of different types in the wider one. ``F.concatenate``."""
    alike = of_one_type("cat", tensors)
    dim = dim if axis is None else axis
    return apply(shape.Concatenate(axes.single("cat", alike[0].shape, dim)), *alike)


concat = concatenate = cat


def stack(tensors: Sequence[Any], dim: Any = 0, *, axis: Any = None) -> Tensor:
    """The tensors, all of one shape, joined along a new axis."""
    alike = of_one_type("stack", tensors)
    dim = dim if axis is None else axis
    return apply(shape.Stack(axes.single("stack", (1, *alike[0].shape), dim)), *alike)


def hstack(tensors: Sequence[Any]) -> Tensor:
    """Joined along the second axis, vectors along their only one."""
    return FUNCTIONS[np.hstack](tensors)


def vstack(tensors: Sequence[Any]) -> Tensor:
    """Joined along the first axis; vectors are rows."""
    return FUNCTIONS[np.vstack](tensors)


def where(condition: Any, a: Any = None, b: Any = None) -> Any:
    """``a`` where the condition holds, else ``b``; without both the places where it holds, a tensor an axis."""
    flags = as_tensor(condition)
    if a is None and b is None:
        return flags.nonzero(as_tuple=True)
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
erf, erfc, sinc = _of_methods("erf erfc sinc")
sign, floor, ceil, trunc, fix, round_, frac = _of_methods("sign floor ceil trunc fix round_ frac")
clamp, clip, norm, prod, cumsum = _of_methods("clamp clip norm prod cumsum")
sum_, mean, std, var = _of_methods("sum_ mean std var")
argmax, argmin, amax, amin = _of_methods("argmax argmin amax amin")
add, sub, mul, div, neg, pow_, remainder = _of_methods("add sub mul div neg pow_ remainder")
matmul, mm, bmm, mv, dot, outer = _of_methods("matmul mm bmm mv dot outer")
eq, ne, lt, le, gt, ge = _of_methods("eq ne lt le gt ge")
logical_and, logical_or, logical_not = _of_methods("logical_and logical_or logical_not")
isnan, isinf, isfinite, equal, allclose, all_, any_ = _of_methods("isnan isinf isfinite equal allclose all_ any_")
reshape, flatten, squeeze, unsqueeze = _of_methods("reshape flatten squeeze unsqueeze")
transpose, permute, movedim, t = _of_methods("transpose permute movedim t")
split, chunk, unbind, flip, tile = _of_methods("split chunk unbind flip tile")
tril, triu, diag, diagonal = _of_methods("tril triu diag diagonal")
gather, index_select = _of_methods("gather index_select")
masked_select, masked_fill = _of_methods("masked_select masked_fill")
sort, argsort, topk, unique, nonzero = _of_methods("sort argsort topk unique nonzero")
bincount, clone, numel = _of_methods("bincount clone numel")
