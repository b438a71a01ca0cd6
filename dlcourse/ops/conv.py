"""Convolution."""

import operator

from dlcourse.autograd import Function, Tensor, apply
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import conv as kernels
from dlcourse.backend.kernels.conv import ConvGeometry, Pair
from dlcourse.backend.kernels.linear import column_sums, relu_bias_grad
from dlcourse.errors import ShapeError

__all__ = ["conv2d"]


class Conv2d(Function):
    """y[n, p, o] = b[o] + sum_{t, c} w[o, t, c] x[n, q, c], q = s p + d t - padding.

    p, q and t are positions (row, column) in the output, the input and the kernel; s is the stride, d the dilation;
    outside of the image x is 0. Gradients, the sums over p in the first one where s p + d t - padding = q:
    dx[n, q, c] = sum_{p, t, o} w[o, t, c] dy[n, p, o],
    dw[o, t, c] = sum_{n, p} dy[n, p, o] x[n, s p + d t - padding, c],
    db[o] = sum_{n, p} dy[n, p, o].

    Shapes: x (N, H, W, C), w (O, kh, kw, C / groups), b (O,), y (N, H', W', O) with
    H' = (H + 2 padding - d (kh - 1) - 1) // s + 1. (Lecture 8; LeCun et al. 1989.)
    """

    refuses_whole = True

    def __init__(self, geometry: ConvGeometry):
        self.geometry = geometry

    def forward(self, x: Array, weight: Array, *bias: Array) -> Array:
        self.keep(x, weight)
        return kernels.conv2d(x, weight, bias[0] if bias else None, self.geometry)

    def keep(self, x: Array, weight: Array) -> None:
        """Save no more than the gradients need."""
        self.x, self.weight_shape = x, weight.shape
        self.weight = weight if self.needs_input_grad[0] else None

    def backward(self, dout: Array) -> tuple:
        dx, dweight = self.grads(dout)
        if len(self.needs_input_grad) == 2:
            return dx, dweight
        dbias = column_sums(dout.reshape(-1, dout.shape[3]), self.grad_buffers[2]) if self.needs_input_grad[2] else None
        return dx, dweight, dbias

    def grads(self, dout: Array) -> tuple[Array | None, Array | None]:
        """dx and dw."""
        dx = dweight = None
        if self.needs_input_grad[0]:
            dx = kernels.conv2d_input_grad(dout, self.weight, self.x.shape, self.geometry)
        if self.needs_input_grad[1]:
            dweight = kernels.conv2d_weight_grad(dout, self.x, self.weight_shape, self.geometry, self.grad_buffers[1])
        return dx, dweight


class Conv2dReLU(Conv2d):
    """y = max(convolution of x, 0) in one pass; the gradients are :class:`Conv2d`'s for dz = dy where y > 0, else 0."""

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        self.keep(x, weight)
        self.y = kernels.conv2d_relu(x, weight, bias, self.geometry)
        return self.y

    def backward(self, dout: Array) -> tuple:
        rows, y = (array.reshape(-1, dout.shape[3]) for array in (dout, self.y))
        dz, dbias = relu_bias_grad(rows, y, self.grad_buffers[2])
        return *self.grads(dz.reshape(dout.shape)), dbias


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """The convolution of images with a kernel; as ``torch.nn.functional.conv2d``, channels last.

    Args:
        x: (N, H, W, C).
        weight: (O, kh, kw, C / groups).
        bias: (O,).
        stride, padding, dilation: a number for both axes or (vertical, horizontal).
        groups: channels fall into so many groups that do not see each other.
    Raises:
        ShapeError: the shapes do not fit each other, or the kernel is larger than the padded image.
    """
    function = Conv2d(_geometry("conv2d", x, weight, bias, stride, padding, dilation, groups))
    return apply(function, x, weight) if bias is None else apply(function, x, weight, bias)


def conv2d_relu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """max(convolution, 0) in one pass: what ``relu(conv2d(...))`` gives, with the arguments of :func:`conv2d`."""
    geometry = _geometry("conv2d_relu", x, weight, bias, stride, padding, dilation, groups)
    return apply(Conv2dReLU(geometry), x, weight, bias)


def _geometry(
    name: str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Pair,
    padding: int | Pair,
    dilation: int | Pair,
    groups: int,
) -> ConvGeometry:
    """The settings as kernels take them, once they and the shapes are seen to fit."""
    geometry = ConvGeometry(pair("stride", stride), pair("padding", padding, 0), pair("dilation", dilation), groups)
    if x.ndim != 4 or weight.ndim != 4 or x.shape[3] != weight.shape[3] * groups or weight.shape[0] % groups:
        raise ShapeError(
            f"{name}: expected x (N, H, W, C) and weight (O, kh, kw, C / groups), "
            f"got {x.shape}, {weight.shape}, {groups=}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"{name}: expected bias {weight.shape[:1]}, one for each output channel, got {bias.shape}")
    if min(geometry.out_size(x.shape, (weight.shape[1], weight.shape[2]))) < 1:
        raise ShapeError(f"{name}: the kernel {weight.shape[1:3]} does not fit into {x.shape} with padding {padding}")
    return geometry


def pair(name: str, value: int | Pair, least: int = 1) -> Pair:
    """A number for both axes, or one for each.

    Raises:
        ValueError: neither, or below ``least``.
    """
    try:
        given = value if isinstance(value, tuple | list) else (value, value)
        # True is a number to Python: a flag in the place of a size would count as 1.
        both = () if any(isinstance(v, bool) for v in given) else tuple(operator.index(v) for v in given)
    except TypeError:
        both = ()
    if len(both) != 2 or min(both) < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, or two, got {value!r}")
    return both
