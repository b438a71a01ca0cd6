"""Pooling: an image made smaller (lecture 8)."""

from dlcourse.autograd import Function, Tensor, apply, as_tensor
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import pool as kernels
from dlcourse.backend.kernels.conv import Pair
from dlcourse.backend.kernels.pool import PoolGeometry
from dlcourse.errors import ShapeError
from dlcourse.ops.conv import pair

__all__ = ["avg_pool2d", "global_avg_pool2d", "max_pool2d"]


class Pool2d(Function):
    """What both poolings share: the window, its step and the padding."""

    refuses_whole = True

    def __init__(self, geometry: PoolGeometry):
        self.geometry = geometry


class MaxPool2d(Pool2d):
    """y[p] = max over the window of x; dx gets dy at the window's first largest element. Padding never wins."""

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        y, self.argmax = kernels.max_pool2d(x, self.geometry)
        return y

    def backward(self, dout: Array) -> Array:
        return kernels.max_pool2d_grad(dout, self.argmax, self.shape, self.geometry)


class AvgPool2d(Pool2d):
    """y[p] = mean over the window of x, padding counted as zeros; dx gets dy / (kh kw) all over the window."""

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return kernels.avg_pool2d(x, self.geometry)

    def backward(self, dout: Array) -> Array:
        return kernels.avg_pool2d_grad(dout, self.shape, self.geometry)


def max_pool2d(x: Tensor, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> Tensor:
    """The largest element of each window of (N, H, W, C); the stride is the window's size if left out."""
    return apply(MaxPool2d(_geometry("max_pool2d", x, kernel_size, stride, padding)), x)


def avg_pool2d(x: Tensor, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> Tensor:
    """The mean of each window of (N, H, W, C); the stride is the window's size if left out."""
    return apply(AvgPool2d(_geometry("avg_pool2d", x, kernel_size, stride, padding)), x)


def global_avg_pool2d(x: Tensor) -> Tensor:
    """The mean over each whole image: (N, H, W, C) -> (N, C)."""
    if x.ndim != 4:
        raise ShapeError(f"global_avg_pool2d: expected x (N, H, W, C), got {x.shape}")
    return as_tensor(x).mean(axis=(1, 2))


def _geometry(
    name: str, x: Tensor, kernel_size: int | Pair, stride: int | Pair | None, padding: int | Pair
) -> PoolGeometry:
    window, edge = pair("kernel_size", kernel_size), pair("padding", padding, 0)
    step = window if stride is None else pair("stride", stride)
    if x.ndim != 4:
        raise ShapeError(f"{name}: expected x (N, H, W, C), got {x.shape}")
    if 2 * edge[0] > window[0] or 2 * edge[1] > window[1]:
        raise ShapeError(f"{name}: padding {edge} is more than half of the window {window}")
    geometry = PoolGeometry(window, step, edge)
    if min(geometry.out_shape(x.shape)[1:3]) < 1:
        raise ShapeError(f"{name}: the window {window} does not fit into {x.shape} with padding {edge}")
    return geometry
