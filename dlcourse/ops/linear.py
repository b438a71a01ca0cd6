"""The affine map, and joining tensors."""

from collections.abc import Sequence

from dlcourse.autograd import Function, Tensor, apply
from dlcourse.autograd import shape as shapes
from dlcourse.autograd.function import xp_of
from dlcourse.backend.device import Array
from dlcourse.errors import ShapeError

__all__ = ["concatenate", "linear", "stack"]


class Linear(Function):
    """y = x W^T + b; dx = dy W, dW = dy^T x, db = sum dy over all axes but the last.

    Shapes: x (..., in), W (out, in), b (out,), y (..., out). (Lecture 4.)
    """

    def forward(self, x: Array, weight: Array, *bias: Array) -> Array:
        if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
            raise ShapeError(f"linear: expected x of shape (..., {weight.shape[1]}), got {x.shape}")
        self.x, self.weight = x, weight
        y = x @ weight.T
        if bias:
            y += bias[0]
        return y

    def backward(self, dout: Array) -> tuple:
        xp = xp_of(dout)
        rows, dy = self.x.reshape(-1, self.x.shape[-1]), dout.reshape(-1, dout.shape[-1])  # (N, in), (N, out)
        dx = dout @ self.weight if self.needs[0] else None
        dweight = xp.matmul(dy.T, rows, out=self.destinations[1]) if self.needs[1] else None
        if len(self.needs) == 2:
            return dx, dweight
        # A product with ones is several times faster than a sum over the long first axis.
        dbias = xp.matmul(xp.ones(len(dy), dy.dtype), dy, out=self.destinations[2]) if self.needs[2] else None
        return dx, dweight, dbias


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b over the last axis, as ``torch.nn.functional.linear``: x (..., in), weight (out, in), bias (out,)."""
    return apply(Linear(), x, weight) if bias is None else apply(Linear(), x, weight, bias)


def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors joined along an axis that they have."""
    return apply(shapes.Concatenate(axis), *tensors)


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors, all of one shape, joined along a new axis."""
    return apply(shapes.Stack(axis), *tensors)
