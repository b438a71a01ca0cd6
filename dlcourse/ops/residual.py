"""The operations of residual nets besides convolution (lecture 9)."""

from dlcourse.autograd import Function, Tensor, apply
from dlcourse.autograd.function import xp_of
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import activation as kernels
from dlcourse.errors import ShapeError

__all__: list[str] = []


class AddReLU(Function):
    """y = max(a + b, 0), the end of a residual block in one pass; da = db = dy where y > 0, else 0.

    Shapes: a, b, y of one shape.
    """

    def forward(self, a: Array, b: Array) -> Array:
        self.y = kernels.add_relu(a, b)
        return self.y

    def backward(self, dout: Array) -> tuple:
        dx = kernels.relu_grad(dout, self.y)
        return dx, dx


class ShrinkAndWiden(Function):
    """y[n, p, q, c] = x[n, s p, s q, c], and 0 for the new channels c; dx gets dy at the positions read, 0 elsewhere.

    Shapes: x (N, H, W, C), y (N, ceil(H / s), ceil(W / s), K). (He et al. 2015, option A.)
    """

    def __init__(self, stride: int, channels: int):
        self.stride, self.channels = stride, channels

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        read = x[:, :: self.stride, :: self.stride]
        y = xp_of(x).zeros((*read.shape[:3], self.channels), dtype=x.dtype)
        y[..., : x.shape[3]] = read
        return y

    def backward(self, dout: Array) -> Array:
        dx = xp_of(dout).zeros(self.shape, dtype=dout.dtype)
        dx[:, :: self.stride, :: self.stride] = dout[..., : self.shape[3]]
        return dx


def add_relu(a: Tensor, b: Tensor) -> Tensor:
    """max(a + b, 0) of two tensors of one shape.

    Raises:
        ShapeError: the shapes differ.
    """
    if a.shape != b.shape:
        raise ShapeError(f"add_relu: expected two tensors of one shape, got {a.shape} and {b.shape}")
    return apply(AddReLU(), a, b)


def downsample_shortcut(x: Tensor, stride: int, channels: int) -> Tensor:
    """Every ``stride``-th row and column of (N, H, W, C), with zeros as new channels up to ``channels``.

    Raises:
        ShapeError: x is no batch of images, or has more channels already.
    """
    if x.ndim != 4 or x.shape[3] > channels or stride < 1:
        raise ShapeError(f"downsample_shortcut: x (N, H, W, C) with C at most {channels}, got {x.shape}, {stride=}")
    return apply(ShrinkAndWiden(stride, channels), x)
