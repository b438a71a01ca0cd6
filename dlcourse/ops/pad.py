"""Padding of any axes, by a number or by what lies inside."""

import operator
from collections.abc import Sequence
from typing import Any, Literal, get_args

from dlcourse.autograd import Function, Tensor, apply, as_tensor
from dlcourse.backend import array_module
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentError, ShapeError

__all__ = ["pad"]

Mode = Literal["constant", "reflect", "replicate", "circular"]
_NUMPY = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class Pad(Function):
    """y[i] = x[i - before] inside; outside a number, or the element of x that the mode names.

    Along an axis of length n, at the place j = i - before that is not in 0..n-1: "reflect" takes x[-j] and
    x[2 (n - 1) - j], "replicate" x[0] and x[n - 1], "circular" x[j mod n]. dx[k] is the sum of dy over all places that
    took x[k]. A negative width takes elements away; they get no gradient.
    """

    def __init__(self, widths: tuple[tuple[int, int], ...], mode: Mode, value: float):
        self.widths, self.mode, self.value = widths, mode, value
        self.compute_in_float32 = mode != "constant"  # sums in the gradient

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        self.remaining = tuple(
            slice(max(0, -before), length - max(0, -after))
            for (before, after), length in zip(self.widths, x.shape, strict=True)
        )
        grown = [(max(0, before), max(0, after)) for before, after in self.widths]
        given: dict[str, Any] = {"constant_values": self.value} if self.mode == "constant" else {}
        return array_module(x).pad(x[self.remaining], grown, _NUMPY[self.mode], **given)

    def backward(self, dout: Array) -> Array:
        inner = [remaining.stop - remaining.start for remaining in self.remaining]
        for axis, ((before, after), length) in enumerate(zip(self.widths, inner, strict=True)):
            dout = self._fold(dout, axis, max(0, before), max(0, after), length)
        if dout.shape == self.shape:
            return dout
        dx = array_module(dout).zeros(self.shape, dtype=dout.dtype)
        dx[self.remaining] = dout
        return dx

    def _fold(self, dout: Array, axis: int, before: int, after: int, length: int) -> Array:
        """dy without what lies outside along one axis, added to the elements that it was taken from."""
        if not before and not after:
            return dout
        xp = array_module(dout)
        rows = xp.moveaxis(dout, axis, 0)
        inside, first, last = rows[before : before + length], rows[:before], rows[before + length :]
        if self.mode != "constant":
            inside = inside.copy()
        if self.mode == "reflect":
            inside[1 : before + 1] += first[::-1]
            inside[length - 1 - after : length - 1] += last[::-1]
        elif self.mode == "replicate":
            inside[0] += first.sum(axis=0)
            inside[-1] += last.sum(axis=0)
        elif self.mode == "circular":
            inside[length - before :] += first
            inside[:after] += last
        return xp.moveaxis(inside, 0, axis)


def pad(x: Tensor, pad: Sequence[int], mode: Mode = "constant", value: float | None = None) -> Tensor:
    """Add elements before and after along the last axes; as ``torch.nn.functional.pad``, on the axes as they are.

    Channels are the last axis here: ``F.pad(x, (0, 0, left, right, top, bottom))`` adds rows and columns to an image
    (N, H, W, C), ``F.pad(x, (0, 0, first, last))`` steps to a sequence (N, T, C).

    Args:
        x: of any shape.
        pad: how many before and after, first along the last axis, then along the one before it, and so on; negative
            numbers take away.
        mode: "constant"; or for sequences and images, whose channels stay as they are: "reflect" (the edge is the
            mirror), "replicate" (the edge again) or "circular" (from the other side).
        value: of what is added in the mode "constant", 0 if left out.
    Raises:
        ShapeError: more axes than x has, or widths that do not fit the shape.
        ArgumentError: an unknown mode, or a value with another mode than "constant".
    Example:
        >>> F.pad(dl.tensor([[1.0, 2.0]]), (1, 2)).tolist()
        [[0.0, 1.0, 2.0, 0.0, 0.0]]
        >>> F.pad(dl.tensor([[[1.0], [2.0], [3.0]]]), (0, 0, 2, 1), mode="reflect").reshape(6).tolist()
        [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    """
    x = as_tensor(x)
    if mode not in get_args(Mode):
        raise ArgumentError(f"pad: mode is one of {', '.join(get_args(Mode))}, got {mode!r}")
    if value is not None and mode != "constant":
        raise ArgumentError(f"pad: a value goes with mode='constant', got value={value!r} with mode={mode!r}")
    pairs = _pairs(pad)
    if len(pairs) > x.ndim:
        raise ShapeError(f"pad: {len(pairs)} pairs of widths for an array of {x.ndim} axes {x.shape}")
    if mode != "constant" and (pairs[:1] != [(0, 0)] or x.ndim not in (len(pairs), len(pairs) + 1) or x.ndim < 2):
        raise ShapeError(
            f"pad: mode={mode!r} is for (N, T, C) by (0, 0, first, last) and for (N, H, W, C) by "
            f"(0, 0, left, right, top, bottom), for channels are last, got {tuple(pad)} for {x.shape}"
        )
    widths = ((0, 0),) * (x.ndim - len(pairs)) + tuple(reversed(pairs))
    for length, width in zip(x.shape, widths, strict=True):
        _check_width(x, mode, length, width)
    return apply(Pad(widths, mode, 0.0 if value is None else value), x)


def _pairs(pad: Sequence[int]) -> list[tuple[int, int]]:
    try:
        widths = [operator.index(width) for width in pad]
    except TypeError:
        widths = [0]
    if len(widths) % 2:
        raise ShapeError(f"pad: expected whole numbers, two for each axis from the last on, got {pad!r}")
    return list(zip(widths[::2], widths[1::2], strict=True))


def _check_width(x: Tensor, mode: Mode, length: int, width: tuple[int, int]) -> None:
    if width == (0, 0):
        return
    remaining = length + sum(min(0, each) for each in width)
    if remaining < (mode != "constant"):
        raise ShapeError(f"pad: {width} leaves nothing of an axis of {length}, of {x.shape}")
    limit = {"reflect": remaining - 1, "circular": remaining}.get(mode)
    if limit is not None and max(width) > limit:
        raise ShapeError(
            f"pad: mode={mode!r} adds at most {limit} to an axis of {remaining}, got {width} for {x.shape}"
        )
