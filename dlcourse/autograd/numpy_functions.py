"""NumPy's functions on tensors: ``np.maximum(0, t)``, ``array @ t``, ``np.sum(t, axis=0)``.

Those that a tensor has too are the tensor's own, so they are recorded and give a tensor. The others are computed on the
values and give NumPy arrays, where no gradient would be lost: where the tensors need none, or the result has none, as
an index or a comparison. Else they raise, for a gradient that disappears without a word trains a wrong model.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcourse.autograd import axes, elementwise, joining
from dlcourse.autograd.base import TensorBase, apply
from dlcourse.autograd.creation import as_tensor, paired, paired_tensors
from dlcourse.autograd.graph import is_grad_enabled
from dlcourse.autograd.methods import clip
from dlcourse.errors import ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor

_ONE: dict[Any, str] = {
    function: function.__name__.replace("arc", "a")
    for function in (
        *(np.exp, np.exp2, np.expm1, np.log, np.log2, np.log10, np.log1p, np.sqrt, np.sin, np.cos, np.tan, np.tanh),
        *(np.arcsin, np.arccos, np.arctan, np.sinh, np.cosh, np.arcsinh, np.arccosh, np.arctanh),
        *(np.sign, np.floor, np.ceil, np.trunc, np.deg2rad, np.rad2deg),
    )
}
_ONE |= {np.rint: "round", np.degrees: "rad2deg", np.radians: "deg2rad"}
_TWO: dict[Any, str] = {np.arctan2: "atan2", np.remainder: "remainder"}
_TWO |= {
    each: each.__name__ for each in (np.hypot, np.logaddexp, np.logaddexp2, np.fmod, np.fmax, np.fmin, np.copysign)
}


def _pair(name: str, a: Any, b: Any) -> "Tensor":
    """A tensor's method of two numbers, the first of which may be an array or a number."""
    first = a if isinstance(a, TensorBase) else as_tensor(a, like=b)
    return getattr(first, name)(b)


UFUNCS: dict[np.ufunc, Callable] = {
    np.add: lambda a, b: apply(elementwise.Add(), *paired(a, b)),
    np.subtract: lambda a, b: apply(elementwise.Sub(), *paired(a, b)),
    np.multiply: lambda a, b: apply(elementwise.Mul(), *paired(a, b)),
    np.divide: lambda a, b: a / b if isinstance(a, TensorBase) else b.__rtruediv__(a),
    np.power: lambda a, b: apply(elementwise.Pow(), *paired(a, b)),
    np.matmul: lambda a, b: a @ b if isinstance(a, TensorBase) else b.__rmatmul__(a),
    np.maximum: lambda a, b: apply(elementwise.Maximum(), *paired(a, b)),
    np.minimum: lambda a, b: apply(elementwise.Minimum(), *paired(a, b)),
    np.negative: lambda x: -x,
    np.positive: lambda x: x,
    np.absolute: abs,
    np.fabs: abs,
    np.square: lambda x: x * x,
    np.reciprocal: lambda x: 1 / x,
    **{function: lambda x, name=name: getattr(x, name)() for function, name in _ONE.items()},
    **{function: lambda a, b, name=name: _pair(name, a, b) for function, name in _TWO.items()},
    np.equal: lambda a, b: a == b if isinstance(a, TensorBase) else b == a,
    np.not_equal: lambda a, b: a != b if isinstance(a, TensorBase) else b != a,
    np.less: lambda a, b: a < b if isinstance(a, TensorBase) else b > a,
    np.less_equal: lambda a, b: a <= b if isinstance(a, TensorBase) else b >= a,
    np.greater: lambda a, b: a > b if isinstance(a, TensorBase) else b < a,
    np.greater_equal: lambda a, b: a >= b if isinstance(a, TensorBase) else b <= a,
}


def _stacked(join: Callable) -> Callable:
    return lambda tup: join([_array(one) for one in tup])


def _array(value: Any) -> Any:
    return value if hasattr(value, "dtype") else np.asarray(value)


def _dot(a: Any, b: Any) -> "Tensor":
    if 0 in (np.ndim(a), np.ndim(b)):
        return UFUNCS[np.multiply](a, b)
    if np.ndim(b) > 2:
        raise ShapeError(f"np.dot of {np.shape(a)} and {np.shape(b)}: write a @ b, which broadcasts, for more axes")
    return UFUNCS[np.matmul](a, b)


def _where(condition: Any, a: Any, b: Any) -> "Tensor":
    return apply(elementwise.Where(as_tensor(condition).to(dtype="bool").data), *paired_tensors(a, b))


def _var(x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> "Tensor":
    return x.var(axis, correction=ddof, keepdims=keepdims)


def _squeeze(a: Any, axis: Any = None) -> "Tensor":
    over = range(a.ndim) if axis is None else axes.several("squeeze", a.shape, axis)
    positions = (over,) if isinstance(over, int) else over or ()
    longer = [position for position in positions if axis is not None and a.ndim and a.shape[position] != 1]
    if longer:
        raise ShapeError(f"np.squeeze: axis {longer[0]} of {a.shape} has the length {a.shape[longer[0]]}, expected 1")
    return a.reshape(tuple(size for i, size in enumerate(a.shape) if i not in positions or size != 1))


def _expand_dims(a: Any, axis: Any) -> "Tensor":
    count = a.ndim + (len(axis) if isinstance(axis, tuple | list) else 1)
    positions = axes.several("expand_dims", (1,) * count, axis)
    sizes = iter(a.shape)
    added = positions if isinstance(positions, tuple) else (positions,)
    return a.reshape(tuple(1 if i in added else next(sizes) for i in range(count)))


def _split(a: Any, indices_or_sections: Any, axis: int = 0) -> "list[Tensor]":
    position = axes.single("split", a.shape, axis)
    chunks = np.split(np.arange(a.shape[position]), indices_or_sections)
    before = (slice(None),) * position
    return [a[(*before, slice(rows[0], rows[-1] + 1) if len(rows) else slice(0, 0))] for rows in chunks]


FUNCTIONS: dict[Callable, Callable] = {
    np.sum: lambda a, axis=None, keepdims=False: a.sum(axis, keepdims),
    np.mean: lambda a, axis=None, keepdims=False: a.mean(axis, keepdims),
    np.max: lambda a, axis=None, keepdims=False: a.max(axis=axis, keepdims=keepdims),
    np.min: lambda a, axis=None, keepdims=False: a.min(axis=axis, keepdims=keepdims),
    np.amax: lambda a, axis=None, keepdims=False: a.max(axis=axis, keepdims=keepdims),
    np.amin: lambda a, axis=None, keepdims=False: a.min(axis=axis, keepdims=keepdims),
    np.var: _var,
    np.std: lambda a, axis=None, ddof=0, keepdims=False: _var(a, axis, ddof, keepdims).sqrt(),
    np.clip: clip,
    np.reshape: lambda a, shape: a.reshape(shape if isinstance(shape, tuple | list) else (shape,)),
    np.ravel: lambda a: a.reshape(-1),
    np.transpose: lambda a, axes=None: a.transpose(*(() if axes is None else (axes,))),
    np.swapaxes: lambda a, axis1, axis2: a.transpose(axis1, axis2),
    np.squeeze: _squeeze,
    np.expand_dims: _expand_dims,
    np.prod: lambda a, axis=None, keepdims=False: a.prod(axis, keepdims),
    np.cumsum: lambda a, axis=None: a.reshape(-1).cumsum(0) if axis is None else a.cumsum(axis),
    np.cumprod: lambda a, axis=None: a.reshape(-1).cumprod(0) if axis is None else a.cumprod(axis),
    np.diff: lambda a, n=1, axis=-1: a.diff(n, axis),
    np.sort: lambda a, axis=-1: a.reshape(-1).sort(0).values if axis is None else a.sort(axis).values,
    np.flip: lambda m, axis=None: m.flip(tuple(range(m.ndim)) if axis is None else axis),
    np.roll: lambda a, shift, axis=None: a.roll(shift, axis),
    np.moveaxis: lambda a, source, destination: a.movedim(source, destination),
    np.tile: lambda A, reps: A.tile(reps if isinstance(reps, tuple | list) else (reps,)),
    np.repeat: lambda a, repeats, axis=None: a.repeat_interleave(repeats, axis),
    np.tril: lambda m, k=0: m.tril(k),
    np.triu: lambda m, k=0: m.triu(k),
    np.diag: lambda v, k=0: v.diag(k),
    np.trace: lambda a: a.trace(),
    np.outer: lambda a, b: _pair("outer", a, b),
    np.take_along_axis: lambda arr, indices, axis=-1: arr.take_along_dim(indices, axis),
    np.broadcast_to: lambda array, shape: array.expand(shape),
    np.round: lambda a, decimals=0: a.round(decimals=decimals),
    np.split: _split,
    np.vstack: _stacked(joining.vstack),
    np.hstack: _stacked(joining.hstack),
    np.column_stack: _stacked(joining.column_stack),
    np.dot: _dot,
    np.concatenate: lambda arrays, axis=0: joining.cat([_array(one) for one in arrays], axis),
    np.stack: lambda arrays, axis=0: joining.stack([_array(one) for one in arrays], axis),
    np.where: _where,
}

WITHOUT_GRADIENT = {
    *(np.isnan, np.isinf, np.isfinite, np.signbit, np.logical_and, np.logical_or, np.logical_not, np.logical_xor),
    *(np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.result_type),
    *(np.argmax, np.argmin, np.argsort, np.nonzero, np.count_nonzero, np.any, np.all, np.searchsorted),
    *(np.isclose, np.allclose, np.array_equal, np.array_equiv, np.array2string, np.array_repr, np.array_str),
}
"""Functions whose results have no gradient: nothing is lost."""


def call_ufunc(ufunc: np.ufunc, method: str, inputs: tuple, options: dict) -> Any:
    """What ``Tensor.__array_ufunc__`` gives.

    Raises:
        RuntimeError: NumPy's function is not recorded, and a tensor needs a gradient.
        TypeError: a tensor is to be written to, or lies on a GPU.
    """
    own = UFUNCS.get(ufunc) if method == "__call__" and not options else None
    if own is not None:
        return own(*inputs)
    if any(isinstance(target, TensorBase) for target in options.get("out", ())):
        raise TypeError(f"np.{ufunc.__name__} cannot write into a tensor: out= takes an array; write t = ... instead")
    return _by_values(ufunc, getattr(ufunc, method), inputs, options)


def call_function(function: Callable, args: tuple, options: dict) -> Any:
    """What ``Tensor.__array_function__`` gives; errors as :func:`call_ufunc` has them."""
    own = FUNCTIONS.get(function)
    if own is not None and _accepts(own, args, options):
        return own(*args, **options)
    return _by_values(function, function, args, options)


def _accepts(own: Callable, args: tuple, options: dict) -> bool:
    try:
        inspect.signature(own).bind(*args, **options)
    except TypeError:
        return False  # an option that only NumPy has
    return True


def _by_values(function: Any, call: Callable, args: tuple, options: dict) -> Any:
    lossless = function in WITHOUT_GRADIENT or not is_grad_enabled()

    def value(item: Any) -> Any:
        if isinstance(item, tuple | list):
            return type(item)(map(value, item))
        if not isinstance(item, TensorBase):
            return item
        if item.requires_grad and not lossless:
            raise RuntimeError(
                f"np.{function.__name__} would lose the gradient of a tensor that needs one: take .detach().numpy() "
                "where none is wanted, or compute with the tensor's own functions"
            )
        return np.asarray(item.detach())

    return call(*map(value, args), **{name: value(item) for name, item in options.items()})
