"""Functions of whole tensors beside the methods of Tensor: extremes of two, choice, and matrices."""

from typing import Any

from dlcourse import backend
from dlcourse.autograd import Tensor, apply, as_tensor, elementwise, linalg, paired, shape, tensor
from dlcourse.autograd.creation import paired_tensors
from dlcourse.errors import ArgumentTypeError, ShapeError

__all__ = ["broadcast_to", "logdet", "matmul", "maximum", "minimum", "solve", "trace", "where"]


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of two, element by element; equal ones share the gradient."""
    return apply(elementwise.Maximum(), *paired(a, b))


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of two, element by element; equal ones share the gradient."""
    return apply(elementwise.Minimum(), *paired(a, b))


def where(condition: Any, a: Any = None, b: Any = None) -> Any:
    """``a`` where the condition holds, else ``b``; without both the places where it holds, a tensor an axis.

    Args:
        condition: booleans, or whole numbers of which all but 0 hold.
    Raises:
        ShapeError: the condition has another type, or the shapes do not broadcast.
        ArgumentError: a number does not go into the other's type, as -1 into uint8.
    """
    if a is None and b is None:
        return as_tensor(condition).nonzero(as_tuple=True)
    if a is None or b is None:
        raise ArgumentTypeError("where: expected what to take where the condition holds and where not, got one of them")
    if isinstance(a, int | float) and isinstance(b, int | float):
        a, b = tensor([a, b], device=condition.device if isinstance(condition, Tensor) else None)
    first, second = paired_tensors(a, b)  # a number as it is would make float64 beside bfloat16, and 255 of -1
    flags = condition.data if isinstance(condition, Tensor) else backend.of(first.data).asarray(condition)
    return apply(elementwise.Where(booleans("where", flags)), first, second)


def booleans(name: str, flags: Any) -> Any:
    """A condition or mask as booleans, of booleans or whole numbers of any width.

    Raises:
        ShapeError: it holds anything else.
    """
    if flags.dtype.kind not in "biu":
        raise ShapeError(f"{name}: a condition is boolean or whole numbers, got {flags.dtype}; compare, as in x > 0")
    return flags if flags.dtype == bool else flags != 0


def matmul(a: Tensor, b: Any) -> Tensor:
    """The matrix product over the last two axes."""
    return a @ b


def trace(a: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix."""
    return apply(linalg.Trace(), a)


def logdet(a: Tensor) -> Tensor:
    """The logarithm of the determinant of a square matrix; ValueError where that is not positive."""
    return apply(linalg.LogDet(), a)


def solve(a: Tensor, b: Any) -> Tensor:
    """X with A X = B for a square A (N, N) and B (N, K); never forms an inverse."""
    return apply(linalg.Solve(), a, as_tensor(b, like=a))


def broadcast_to(x: Tensor, new_shape: tuple[int, ...]) -> Tensor:
    """The tensor repeated to a larger shape, as NumPy broadcasts."""
    return apply(shape.BroadcastTo(tuple(new_shape)), x)
