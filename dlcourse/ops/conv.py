"""Convolution of images and of sequences."""

import operator
from typing import Any, Literal, get_args

from dlcourse.autograd import Function, Tensor, apply, as_tensor
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import conv as kernels
from dlcourse.backend.kernels.conv import ConvGeometry
from dlcourse.backend.kernels.linear import column_sums, relu_bias_grad
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.pad import pad

__all__ = ["conv1d", "conv2d"]

Sizes = int | tuple[int, ...]
"""A number for all axes, or one for each."""
Padding = Literal["same", "valid"]


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


class OfSequences(Function):
    """A convolution of sequences (N, T, C) by that of images (N, 1, T, C), the kernel (O, k, C) being (O, 1, k, C)."""

    refuses_whole = True

    def __init__(self, function: Function):
        self.function = function

    def forward(self, *inputs: Array) -> Array:
        self.function.needs_input_grad = self.needs_input_grad
        return self.function.forward(*map(_one_row, inputs))[:, 0]

    def backward(self, dout: Array) -> tuple:
        buffers = self.function.grad_buffers = tuple(map(_one_row, self.grad_buffers))
        grads = self.function.backward(_one_row(dout))
        return tuple(
            given if grad is buffer else grad[:, 0] if grad.ndim == 4 else grad
            for grad, buffer, given in zip(grads, buffers, self.grad_buffers, strict=True)
        )


def _one_row(array: Array | None) -> Array | None:
    return array[:, None] if array is not None and array.ndim == 3 else array


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """The convolution of images with a kernel; as ``torch.nn.functional.conv2d``, channels last.

    Args:
        x: (N, H, W, C), or one image (H, W, C).
        weight: (O, kh, kw, C / groups).
        bias: (O,).
        stride, dilation: a number for both axes or (vertical, horizontal).
        padding: of zeros, a number for both axes or (vertical, horizontal); "valid" is none, and "same" as much as
            makes the output as large as the input at stride 1, where it is odd one more at the end.
        groups: channels fall into so many groups that do not see each other; with C groups it is depthwise.
    Raises:
        ShapeError: the shapes do not fit each other, or the kernel is larger than the padded image.
    """
    return _convolution("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """The convolution of sequences with a kernel; as ``torch.nn.functional.conv1d``, channels last.

    Args:
        x: (N, T, C), or one sequence (T, C).
        weight: (O, k, C / groups).
        bias: (O,).
        stride, padding, dilation, groups: as :func:`conv2d` has them, of the one axis T.
    Raises:
        ShapeError: the shapes do not fit each other, or the kernel is longer than the padded sequence.
    """
    return _convolution("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


def conv2d_relu(*arguments: Any, **settings: Any) -> Tensor:
    """max(convolution, 0) in one pass: what ``relu(conv2d(...))`` gives, with all arguments of :func:`conv2d`."""
    return _convolution("conv2d_relu", 2, *arguments, **settings, relu=True)


def conv1d_relu(*arguments: Any, **settings: Any) -> Tensor:
    """max(convolution, 0) in one pass: what ``relu(conv1d(...))`` gives, with all arguments of :func:`conv1d`."""
    return _convolution("conv1d_relu", 1, *arguments, **settings, relu=True)


SHAPES = {1: ("(N, T, C)", "k"), 2: ("(N, H, W, C)", "kh, kw")}
"""By the number of axes that a kernel moves along: the input, and the kernel's size."""


def _convolution(
    name: str,
    axes: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    relu: bool = False,
) -> Tensor:
    """Once the settings and the shapes are seen to fit."""
    if x.ndim == axes + 1:  # one sample, without the axis of the batch
        one = as_tensor(x)[None]
        return _convolution(name, axes, one, weight, bias, stride, padding, dilation, groups, relu=relu)[0]
    images, kernel = SHAPES[axes]
    if (
        x.ndim != axes + 2
        or weight.ndim != axes + 2
        or x.shape[-1] != weight.shape[-1] * groups
        or uneven(weight.shape[0], groups)
    ):
        raise ShapeError(
            f"{name}: expected x {images} and weight (O, {kernel}, C / groups), "
            f"got {x.shape}, {weight.shape}, {groups=}"
        )
    check_bias(name, bias, weight.shape[0])
    steps, spread = sizes("stride", stride, axes), sizes("dilation", dilation, axes)
    if isinstance(padding, str):
        x, padding = _padded_by_name(name, x, weight.shape[1:-1], padding, steps, spread)
    geometry = geometry_of(steps, sizes("padding", padding, axes, 0), spread, groups)
    _, height, width, _ = as_image(weight.shape)
    if min(geometry.out_size(as_image(x.shape), (height, width))) < 1:
        raise ShapeError(f"{name}: the kernel {weight.shape[1:-1]} does not fit into {x.shape} with padding {padding}")
    function = (Conv2dReLU if relu else Conv2d)(geometry)
    return applied(function, axes, x, weight, bias)


def _padded_by_name(
    name: str, x: Tensor, kernel: tuple[int, ...], padding: str, stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[Tensor, tuple[int, ...]]:
    """x, and the padding in numbers; where that is not the same on both sides, x has got the rest already."""
    if padding not in get_args(Padding):
        raise ArgumentError(f"{name}: padding is numbers, 'same' or 'valid', got {padding!r}")
    if padding == "valid":
        return x, (0,) * len(kernel)
    if max(stride) > 1:
        raise ArgumentError(f"{name}: padding='same' goes with stride 1, got {stride}; give the padding in numbers")
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if any(length % 2 for length in reach):
        rest = [width for length in reversed(reach) for width in (0, length % 2)]
        x = pad(x, (0, 0, *rest))
    return x, tuple(length // 2 for length in reach)


def applied(function: Function, axes: int, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    function = function if axes == 2 else OfSequences(function)
    return apply(function, x, weight) if bias is None else apply(function, x, weight, bias)


def geometry_of(
    stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...], groups: int
) -> ConvGeometry:
    """As kernels take it; a sequence is an image of one row."""
    row = 2 - len(stride)
    settings: tuple[Any, Any, Any] = (1,) * row + stride, (0,) * row + padding, (1,) * row + dilation
    return ConvGeometry(*settings, groups)


def as_image(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape if len(shape) == 4 else (shape[0], 1, *shape[1:])


def uneven(channels: int, groups: int) -> bool:
    return groups < 1 or channels % groups > 0


def check_bias(name: str, bias: Tensor | None, outputs: int) -> None:
    if bias is not None and bias.shape != (outputs,):
        raise ShapeError(f"{name}: expected bias {(outputs,)}, one for each output channel, got {bias.shape}")


def sizes(name: str, value: Any, axes: int, minimum: int | None = 1) -> tuple[int, ...]:
    """A number for all axes, or one for each; negative ones too where ``least`` is None.

    Raises:
        ValueError: neither, or below ``least``.
    """
    try:
        given = value if isinstance(value, tuple | list) else (value,) * axes
        # True is a number to Python: a flag in the place of a size would count as 1.
        each = () if any(isinstance(v, bool) for v in given) else tuple(operator.index(v) for v in given)
    except TypeError:
        each = ()
    if len(each) != axes or (minimum is not None and min(each) < minimum):
        number = "a whole number" if minimum is None else f"a whole number of at least {minimum}"
        several = {1: "", 2: ", or two", 4: ", or four"}[axes]
        raise ValueError(f"{name}: expected {number}{several}, got {value!r}")
    return each
