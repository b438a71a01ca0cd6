"""Transposed convolution of images and of sequences: it makes them larger."""

from typing import Any

from dlcourse.autograd import Function, Tensor, as_tensor
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import conv as kernels
from dlcourse.backend.kernels.conv import ConvGeometry
from dlcourse.backend.kernels.linear import column_sums
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.conv import SHAPES, Sizes, applied, as_image, check_bias, geometry_of, sizes, uneven
from dlcourse.ops.pad import pad

__all__ = ["conv_transpose1d", "conv_transpose2d"]


class ConvTranspose2d(Function):
    """y[n, q, o] = b[o] + sum over p, t, c with s p + d t - padding = q of w[c, t, o] x[n, p, c].

    The transposed map of :class:`Conv2d` with the same kernel: what that one's input gradient is. So the gradients are
    convolutions: dx[n, p, c] = sum_{t, o} w[c, t, o] dy[n, s p + d t - padding, o],
    dw[c, t, o] = sum_{n, p} x[n, p, c] dy[n, s p + d t - padding, o], db[o] = sum_{n, q} dy[n, q, o].

    Shapes: x (N, H, W, C), w (C, kh, kw, O / groups), b (O,), y (N, H', W', O) with
    H' = (H - 1) s - 2 padding + d (kh - 1) + output_padding + 1. (Dumoulin & Visin 2016.)
    """

    refuses_whole = True

    def __init__(self, geometry: ConvGeometry, out_shape: tuple[int, ...]):
        self.geometry, self.out_shape = geometry, out_shape

    def forward(self, x: Array, weight: Array, *bias: Array) -> Array:
        self.x, self.weight = x, weight
        y = kernels.conv2d_input_grad(x, weight, self.out_shape, self.geometry)
        if bias:
            y += bias[0]
        return y

    def backward(self, dout: Array) -> tuple:
        dx = dweight = None
        if self.needs_input_grad[0]:
            dx = kernels.conv2d(dout, self.weight, None, self.geometry)
        if self.needs_input_grad[1]:
            given = self.x, dout, self.weight.shape, self.geometry
            dweight = kernels.conv2d_weight_grad(*given, self.grad_buffers[1])
        if len(self.needs_input_grad) == 2:
            return dx, dweight
        dbias = column_sums(dout.reshape(-1, dout.shape[3]), self.grad_buffers[2]) if self.needs_input_grad[2] else None
        return dx, dweight, dbias


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The transposed convolution of images, which makes them larger; as ``torch.nn.functional.conv_transpose2d``,
    channels last.

    Args:
        x: (N, H, W, C), or one image (H, W, C).
        weight: (C, kh, kw, O / groups).
        bias: (O,).
        stride: how far the kernel moves in the output for one step in the input.
        padding: so many rows and columns of the output are cut off on each side.
        output_padding: so many are added at the end, fewer than the stride or the dilation.
        groups, dilation: as :func:`conv2d` has them.
    Raises:
        ShapeError: the shapes do not fit each other, or nothing is left of the output.
        ArgumentError: the output padding is too large.
    """
    return _transposed("conv_transpose2d", 2, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The transposed convolution of sequences (N, T, C) with a kernel (C, k, O / groups); as
    ``torch.nn.functional.conv_transpose1d``, channels last. The arguments are those of :func:`conv_transpose2d`, of the
    one axis T."""
    return _transposed("conv_transpose1d", 1, x, weight, bias, stride, padding, output_padding, groups, dilation)


def _transposed(
    name: str,
    axes: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    if x.ndim == axes + 1:  # one sample, without the axis of the batch
        settings = stride, padding, output_padding, groups, dilation
        return _transposed(name, axes, as_tensor(x)[None], weight, bias, *settings)[0]
    images, kernel = SHAPES[axes]
    if x.ndim != axes + 2 or weight.ndim != axes + 2 or x.shape[-1] != weight.shape[0] or uneven(x.shape[-1], groups):
        raise ShapeError(
            f"{name}: expected x {images} and weight (C, {kernel}, O / groups), "
            f"got {x.shape}, {weight.shape}, {groups=}"
        )
    outputs = weight.shape[-1] * groups
    check_bias(name, bias, outputs)
    steps, spread = sizes("stride", stride, axes), sizes("dilation", dilation, axes)
    more, edges = sizes("output_padding", output_padding, axes, 0), sizes("padding", padding, axes, 0)
    if any(m >= max(s, d) for m, s, d in zip(more, steps, spread, strict=True)):
        raise ArgumentError(
            f"{name}: output_padding is smaller than the stride or the dilation, got {more}, stride {steps}, "
            f"dilation {spread}"
        )
    if any(m >= s for m, s in zip(more, steps, strict=True)):
        # A zero more at the input's end makes the output longer by a stride.
        x = pad(x, (0, 0, *(n for m, s in zip(reversed(more), reversed(steps), strict=True) for n in (0, m // s))))
        more = tuple(m % s for m, s in zip(more, steps, strict=True))
    size = tuple(
        (length - 1) * s - 2 * p + d * (k - 1) + m + 1
        for length, s, p, d, k, m in zip(x.shape[1:-1], steps, edges, spread, weight.shape[1:-1], more, strict=True)
    )
    if min(size) < 1:
        raise ShapeError(f"{name}: nothing is left of the output of {x.shape}, {weight.shape} with padding {edges}")
    out_shape = as_image((x.shape[0], *size, outputs))
    return applied(ConvTranspose2d(geometry_of(steps, edges, spread, groups), out_shape), axes, x, weight, bias)
