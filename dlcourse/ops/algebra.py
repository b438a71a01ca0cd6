"""Functions of whole tensors beside the methods of Tensor: extremes of two, choice, and matrices."""

from typing import Any

from dlcourse import backend
from dlcourse.autograd import Tensor, apply, as_tensor, elementwise, linalg, shape, tensor

__all__ = ["broadcast_to", "logdet", "matmul", "maximum", "minimum", "solve", "trace", "where"]


def maximum(a: Tensor, b: Any) -> Tensor:
    """The larger of two, element by element; equal ones share the gradient."""
    return apply(elementwise.Maximum(), a, b if isinstance(b, int | float) else as_tensor(b, like=a))


def minimum(a: Tensor, b: Any) -> Tensor:
    """The smaller of two, element by element; equal ones share the gradient."""
    return -maximum(-a, -(b if isinstance(b, int | float) else as_tensor(b, like=a)))


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """``a`` where the condition holds, else ``b``."""
    if isinstance(a, int | float) and isinstance(b, int | float):
        a, b = tensor([a, b], device=condition.device if isinstance(condition, Tensor) else None)
    like = a if isinstance(a, Tensor) else as_tensor(b)
    flags = condition.data if isinstance(condition, Tensor) else backend.of(like.data).asarray(condition)
    pair = [x if isinstance(x, int | float) else as_tensor(x, like=like) for x in (a, b)]
    return apply(elementwise.Where(flags), *pair)


def matmul(a: Tensor, b: Any) -> Tensor:
    """The matrix product over the last two axes."""
    return a @ b


def trace(a: Tensor) -> Tensor:
    """The sum of the diagonal of a square matrix."""
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
