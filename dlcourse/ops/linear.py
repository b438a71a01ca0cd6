"""The affine map, and joining tensors."""

from collections.abc import Sequence

from dlcourse.autograd import Function, Tensor, apply
from dlcourse.autograd import shape as shapes
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import linear as kernels
from dlcourse.errors import ShapeError

__all__ = ["concatenate", "linear", "stack", "unbind"]


class Linear(Function):
    """y = x W^T + b; dx = dy W, dW = dy^T x, db = sum dy over all axes but the last.

    Shapes: x (..., in), W (out, in), b (out,), y (..., out). (Lecture 4.)
    """

    def forward(self, x: Array, weight: Array, *bias: Array) -> Array:
        if weight.ndim != 2 or any(b.shape != weight.shape[:1] for b in bias):
            shapes = ", ".join(str(array.shape) for array in (weight, *bias))
            raise ShapeError(f"linear: expected weight (out, in) and bias (out,), got {shapes}")
        if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
            raise ShapeError(f"linear: expected x of shape (..., {weight.shape[1]}), got {x.shape}")
        self.weight, self.rows = weight, x.reshape(-1, x.shape[-1])  # (M, in)
        y = kernels.affine(self.rows, weight, bias[0] if bias else None)
        return y.reshape(*x.shape[:-1], len(weight))

    def backward(self, dout: Array) -> tuple:
        dy = dout.reshape(-1, dout.shape[-1])  # (M, out)
        dx = dweight = None
        if self.needs[0]:
            dx = kernels.product(dy, self.weight, None).reshape(*dout.shape[:-1], self.rows.shape[1])
        if self.needs[1]:
            dweight = kernels.product(dy.T, self.rows, self.destinations[1])
        if len(self.needs) == 2:
            return dx, dweight
        return dx, dweight, kernels.column_sums(dy, self.destinations[2]) if self.needs[2] else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b over the last axis, as ``torch.nn.functional.linear``: x (..., in), weight (out, in), bias (out,)."""
    return apply(Linear(), x, weight) if bias is None else apply(Linear(), x, weight, bias)


def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors joined along an axis that they have."""
    return apply(shapes.Concatenate(axis), *tensors)


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors, all of one shape, joined along a new axis."""
    return apply(shapes.Stack(axis), *tensors)


def unbind(x: Tensor) -> tuple[Tensor, ...]:
    """The slices of x along its first axis; cheaper backward than indexing one after another."""
    if not x.ndim or not len(x):
        raise ShapeError(f"unbind: x needs a first axis with something in it, got {x.shape}")
    return apply(shapes.Unbind(), x)
