"""New tensors from arrays and numbers, and operands brought to one type."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import promotion
from dlcourse.autograd.base import TensorBase, array_of, new
from dlcourse.backend.precision import as_dtype, is_floating
from dlcourse.errors import ArgumentError, ArgumentTypeError, ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


def tensor(data: Any, *, dtype: Any = None, requires_grad: bool = False, device: str | None = None) -> "Tensor":
    """A new tensor from an array, number or nested list, on ``device`` or the current one.

    Python numbers become float32 or int64; an array keeps its type. Always a copy, as ``torch.tensor``.

    Raises:
        TypeError: ``requires_grad`` on integers, or data that is no array of numbers.
    Example:
        >>> x = dl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad.tolist()
        [[2.0, 4.0], [6.0, 8.0]]
    """
    target = backend.get(device) if device is not None else backend.current()
    raw = array_of(data)
    if dtype is None and not hasattr(raw, "dtype"):
        raw = np.asarray(raw)
        dtype = promotion.DEFAULT_DTYPE if np.issubdtype(raw.dtype, np.floating) else None
    array = target.array(raw, dtype=None if dtype is None else as_dtype(dtype))
    if array.dtype.kind not in "biu" and not is_floating(array.dtype):
        raise TypeError(f"a tensor holds numbers, got elements of type {array.dtype}")
    if requires_grad and not is_floating(array.dtype):
        raise TypeError(f"only floating-point tensors can require a gradient, got {array.dtype}")
    return new(array, requires_grad)


def as_tensor(value: Any, *, like: TensorBase | None = None) -> "Tensor":
    """A tensor as it is; anything else as a constant, plain numbers in the type of ``like``, sharing memory."""
    if isinstance(value, TensorBase):
        return value  # type: ignore[return-value]  # every TensorBase is a Tensor
    if hasattr(value, "dtype"):
        return new(value if type(value) is np.ndarray else backend.own(value))
    if like is None:
        return tensor(value)
    raw = np.asarray(value)
    number = raw.dtype.kind in "biuf"
    if not number:
        return tensor(raw, device=like.device)
    kind = promotion.beside_numbers(like.dtype, raw.dtype)
    if kind.kind in "iu":
        raw = _whole(value, kind)
    if not raw.ndim:  # filled in: a copy from the host could not be part of a captured step
        return new(backend.of(like.data).xp.full((), raw.item(), dtype=kind))
    return tensor(raw, dtype=kind, device=like.device)


def _whole(value: Any, kind: np.dtype) -> np.ndarray:
    """Whole numbers in a type that holds them.

    Raises:
        ArgumentError: it does not, and would make 255 of -1.
    """
    try:
        return np.asarray(value, dtype=kind)
    except OverflowError as error:
        raise ArgumentError(
            f"{error}; bring the tensor to a wider type first, as in x.to(dtype='int64') or 'float32'"
        ) from error


def paired(first: Any, second: Any) -> tuple[Any, Any]:
    """Two operands, at least one a tensor, in types that give a result of the right type, see :mod:`promotion`.

    Numbers stay Python's own; anything else becomes a tensor.
    """
    if not isinstance(first, TensorBase):
        other, one = paired(second if isinstance(second, TensorBase) else as_tensor(second), first)
        return one, other
    if isinstance(second, np.generic):
        second = second.item()
    if isinstance(second, int | float):
        if type(second) not in (int, float, bool):  # as x.size: NumPy takes a subclass of int for an int64
            second = int(second) if isinstance(second, int) else float(second)
        kind = promotion.beside_number(first.data.dtype, second)
        return (first if kind == first.data.dtype else first.to(dtype=kind)), second
    second = as_tensor(second, like=first)
    if first.data.dtype == second.data.dtype:
        return first, second
    kind = promotion.result_type(first.data, second.data)
    return first.to(dtype=kind), second.to(dtype=kind)


def paired_tensors(first: Any, second: Any) -> "tuple[Tensor, Tensor]":
    """As :func:`paired`, with numbers as tensors too.

    Raises:
        ArgumentError: a number does not go into the other's type of whole numbers.
    """
    one, other = paired(first, second)
    like = one if isinstance(one, TensorBase) else other
    return as_tensor(one, like=like), as_tensor(other, like=like)


def of_one_type(name: str, given: Iterable[Any]) -> "list[Tensor]":
    """Tensors and arrays that are to be joined, as tensors of the type that holds them all.

    Raises:
        ArgumentTypeError: one is neither a tensor nor an array.
        ShapeError: there is none.
    """
    if isinstance(given, TensorBase):
        raise ArgumentTypeError(f"{name}: expected a list of tensors, got one of shape {given.shape}")
    given = list(given)
    strange = next((one for one in given if not hasattr(one, "dtype")), None)
    if strange is not None:
        raise ArgumentTypeError(f"{name}: expected tensors, got a {type(strange).__name__}")
    if not given:
        raise ShapeError(f"{name}: expected at least one tensor, got none")
    tensors = [as_tensor(one) for one in given]
    kind = promotion.common_type(tensors)
    return [one if one.dtype == kind else one.to(dtype=kind) for one in tensors]
