"""Padding of images (N, H, W, C) and of sequences (N, T, C) as layers."""

from typing import Any, ClassVar

from dlcourse.autograd import Tensor, as_tensor
from dlcourse.errors import ShapeError
from dlcourse.nn.module import Module
from dlcourse.ops.conv import SHAPES, sizes
from dlcourse.ops.pad import Mode, pad

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ZeroPad1d",
    "ZeroPad2d",
]

Widths = int | tuple[int, ...]


class Padding(Module):
    """What all paddings share.

    Args:
        padding: a number for all sides, or of sequences (first, last), of images (left, right, top, bottom); negative
            numbers take away.
    """

    axes: ClassVar[int]
    mode: ClassVar[Mode]
    value: float | None = None

    def __init__(self, padding: Widths):
        super().__init__()
        self.padding: Any = sizes("padding", padding, 2 * self.axes, None)

    def forward(self, x: Tensor) -> Tensor:
        x = as_tensor(x)
        if x.ndim != self.axes + 2:
            raise ShapeError(f"{type(self).__name__}: expected x {SHAPES[self.axes][0]}, got {x.shape}")
        return pad(x, (0, 0, *self.padding), self.mode, self.value)


class _ConstantPad(Padding):
    """What :class:`ConstantPad1d` and :class:`ConstantPad2d` share."""

    mode = "constant"

    def __init__(self, padding: Widths, value: float):
        super().__init__(padding)
        self.value = value


class ConstantPad2d(_ConstantPad):
    """Images (N, H, W, C) with rows and columns of a number around them.

    Args:
        padding: a number for all sides, or (left, right, top, bottom); negative numbers take away.
        value: the number.
    """

    axes = 2


class ConstantPad1d(_ConstantPad):
    """Sequences (N, T, C) with steps of a number before and after, see :class:`ConstantPad2d`."""

    axes = 1


class ZeroPad2d(Padding):
    """Images (N, H, W, C) with zeros around them: ``nn.ZeroPad2d((left, right, top, bottom))``."""

    axes, mode = 2, "constant"


class ZeroPad1d(Padding):
    """Sequences (N, T, C) with zeros before and after: ``nn.ZeroPad1d((first, last))``."""

    axes, mode = 1, "constant"


class ReflectionPad2d(Padding):
    """Images (N, H, W, C) mirrored at their edges: ``nn.ReflectionPad2d((left, right, top, bottom))``."""

    axes, mode = 2, "reflect"


class ReflectionPad1d(Padding):
    """Sequences (N, T, C) mirrored at their ends: ``nn.ReflectionPad1d((first, last))``."""

    axes, mode = 1, "reflect"


class ReplicationPad2d(Padding):
    """Images (N, H, W, C) with their edges repeated: ``nn.ReplicationPad2d((left, right, top, bottom))``."""

    axes, mode = 2, "replicate"


class ReplicationPad1d(Padding):
    """Sequences (N, T, C) with their ends repeated: ``nn.ReplicationPad1d((first, last))``."""

    axes, mode = 1, "replicate"


class CircularPad2d(Padding):
    """Images (N, H, W, C) that go on from the other side: ``nn.CircularPad2d((left, right, top, bottom))``."""

    axes, mode = 2, "circular"


class CircularPad1d(Padding):
    """Sequences (N, T, C) that go on from the other end: ``nn.CircularPad1d((first, last))``."""

    axes, mode = 1, "circular"
