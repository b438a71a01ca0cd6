"""Images and sequences of another size: interpolation, and sums over cells of unequal size."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np

from dlcourse.autograd import Function, Tensor, apply, as_tensor
from dlcourse.backend import array_module
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import resample as kernels
from dlcourse.backend.kernels.pool import PoolGeometry, avg_pool2d
from dlcourse.backend.kernels.resample import Taps
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.conv import sizes

__all__ = ["interpolate"]

Mode = Literal["nearest", "nearest-exact", "linear", "bilinear", "bicubic", "area"]


class Resample(Function):
    """y[.., i, ..] = sum_k w[i, k] x[.., s[i, k], ..] along one axis after the other; dx = A^T dy along each, A being
    the matrix of the weights. Shapes: x (N, L, ..., C), one :class:`Taps` or None for each of L, ...
    """

    refuses_whole = True
    compute_in_float32 = True

    def __init__(self, taps: Sequence[Taps | None]):
        self.taps = [(axis, each) for axis, each in enumerate(taps, 1) if each is not None]

    def forward(self, x: Array) -> Array:
        for axis, taps in self.taps:
            x = kernels.resample(x, axis, taps)
        return x

    def backward(self, dout: Array) -> Array:
        for axis, taps in reversed(self.taps):
            dout = kernels.resample_grad(dout, axis, taps)
        return dout


class Enlarge(Function):
    """Each element of x (N, H, W, C) fh times fw times: y[n, i, j] = x[n, i // fh, j // fw]; dx sums dy over blocks."""

    refuses_whole = True

    def __init__(self, factors: tuple[int, int]):
        self.geometry = PoolGeometry(factors, factors)

    def forward(self, x: Array) -> Array:
        n, h, w, c = x.shape
        fh, fw = self.geometry.window
        wide = array_module(x).broadcast_to(x[:, :, None, :, None], (n, h, fh, w, fw, c))
        return wide.reshape(n, h * fh, w * fw, c)

    def backward(self, dout: Array) -> Array:
        dx = avg_pool2d(dout, self.geometry)
        dx *= math.prod(self.geometry.window)
        return dx


def interpolate(
    x: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: Mode = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """Images or sequences of another size; as ``torch.nn.functional.interpolate``, channels last.

    An element i of the output stands at (i + 1/2) / scale - 1/2 of the input, with ``align_corners`` at
    i (L - 1) / (L' - 1).

    Args:
        x: (N, T, C) or (N, H, W, C).
        size: of the output, a number for all axes or one for each; or
        scale_factor: how many times larger it is, likewise.
        mode: "nearest" (rounded down, as PyTorch's), "nearest-exact", "linear" (sequences), "bilinear" and "bicubic"
            (images), or "area": means of cells, as adaptive pooling.
        align_corners: for the modes between elements: whether the centers of the corners stay where they are.
        recompute_scale_factor: whether the scale is that of the sizes, not ``scale_factor`` as it was given.
    Raises:
        ShapeError: x has another number of axes than the mode is for, or nothing would be left.
        ArgumentError: not one of ``size`` and ``scale_factor``, an unknown mode, or ``align_corners`` with a mode that
            has none.
    Example:
        >>> F.interpolate(dl.tensor([[[1.0], [2.0]]]), scale_factor=2).reshape(4).tolist()
        [1.0, 1.0, 2.0, 2.0]
        >>> F.interpolate(dl.tensor([[[1.0], [2.0]]]), size=4, mode="linear").reshape(4).tolist()
        [1.0, 1.25, 1.75, 2.0]
    """
    x = as_tensor(x)
    _check_mode(x, mode, align_corners)
    lengths = x.shape[1:-1]
    out, scales = _sizes(lengths, size, scale_factor, recompute_scale_factor)
    if min((*out, *lengths)) < 1:
        raise ShapeError(f"interpolate: from {x.shape} to {out} leaves nothing")
    if mode == "area":
        return apply(Resample([cells(length, to) for length, to in zip(lengths, out, strict=True)]), x)
    factors = [to // length for length, to in zip(lengths, out, strict=True)]
    if mode == "nearest" and all(factor == scale for factor, scale in zip(factors, scales, strict=True)):
        row = 2 - len(factors)
        image = x.reshape(x.shape[0], *(1,) * row, *x.shape[1:])
        larger = apply(Enlarge((1,) * row + tuple(factors)), image)  # type: ignore[arg-type]
        return larger.reshape(x.shape[0], *out, x.shape[-1])
    taps = [
        None if to == length and scale == 1 else _MODES[mode](length, to, scale, bool(align_corners))
        for length, to, scale in zip(lengths, out, scales, strict=True)
    ]
    return apply(Resample(taps), x)


def _check_mode(x: Tensor, mode: str, align_corners: bool | None) -> None:
    if mode not in get_args(Mode):
        raise ArgumentError(f"interpolate: mode is one of {', '.join(get_args(Mode))}, got {mode!r}")
    axes = {"linear": (1,), "bilinear": (2,), "bicubic": (2,)}.get(mode, (1, 2))
    if x.ndim - 2 not in axes:
        wanted = " or ".join({1: "(N, T, C)", 2: "(N, H, W, C)"}[each] for each in axes)
        raise ShapeError(f"interpolate: mode={mode!r} is for x {wanted}, got {x.shape}")
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ArgumentError(f"interpolate: align_corners is for linear, bilinear and bicubic, got mode={mode!r}")


def _sizes(
    lengths: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[tuple[int, ...], list[float]]:
    """Of the output, and by how much each axis grows."""
    if (size is None) == (scale_factor is None):
        raise ArgumentError(f"interpolate: give size or scale_factor, one of them, got {size=}, {scale_factor=}")
    if size is not None:
        if recompute:
            raise ArgumentError("interpolate: recompute_scale_factor goes with scale_factor, not with size")
        out = sizes("size", size, len(lengths))
        return out, [to / length for length, to in zip(lengths, out, strict=True)]
    given = scale_factor if isinstance(scale_factor, tuple | list) else [scale_factor] * len(lengths)
    if len(given) != len(lengths) or not all(isinstance(s, int | float) and 0 < s < math.inf for s in given):
        raise ArgumentError(f"interpolate: scale_factor is positive, one number or {len(lengths)}, got {scale_factor}")
    out = tuple(math.floor(length * s) for length, s in zip(lengths, given, strict=True))
    if recompute:
        return out, [to / length for length, to in zip(lengths, out, strict=True)]
    return out, list(given)


def _taps(source: np.ndarray, weight: np.ndarray, length: int) -> Taps:
    """Of arrays (out, taps)."""
    return Taps(tuple(map(tuple, source.T.tolist())), tuple(map(tuple, weight.T.tolist())), length)


@functools.lru_cache(maxsize=64)
def cells(length: int, to: int) -> Taps:
    """Means over cells that cover the axis, from floor(i L / L') up to ceil((i + 1) L / L')."""
    start, end = cell_bounds(length, to)
    place = start[:, None] + np.arange((end - start).max())
    inside = place < end[:, None]
    return _taps(np.minimum(place, end[:, None] - 1), inside / (end - start)[:, None], length)


def cell_bounds(length: int, to: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each cell of an axis begins, and where it has ended."""
    number = np.arange(to)
    return number * length // to, -(-(number + 1) * length // to)


@functools.lru_cache(maxsize=64)
def _nearest(length: int, to: int, scale: float, align_corners: bool) -> Taps:
    return _one(length, np.arange(to, dtype=np.float32) * np.float32(1 / scale))


@functools.lru_cache(maxsize=64)
def _nearest_exact(length: int, to: int, scale: float, align_corners: bool) -> Taps:
    return _one(length, (np.arange(to, dtype=np.float32) + np.float32(0.5)) * np.float32(1 / scale))


def _one(length: int, place: np.ndarray) -> Taps:
    index = np.minimum(np.floor(place).astype(np.int64), length - 1)[:, None]
    return _taps(index, np.ones(index.shape), length)


def _place(length: int, to: int, scale: float, align_corners: bool) -> np.ndarray:
    if align_corners:
        return np.arange(to) * ((length - 1) / (to - 1) if to > 1 else 0.0)
    return (np.arange(to) + 0.5) / scale - 0.5


@functools.lru_cache(maxsize=64)
def _linear(length: int, to: int, scale: float, align_corners: bool) -> Taps:
    place = np.maximum(_place(length, to, scale, align_corners), 0)
    low = np.minimum(place.astype(np.int64), length - 1)
    high = np.minimum(low + 1, length - 1)
    share = np.clip(place - low, 0, 1)
    return _taps(np.stack([low, high], 1), np.stack([1 - share, share], 1), length)


@functools.lru_cache(maxsize=64)
def _cubic(length: int, to: int, scale: float, align_corners: bool) -> Taps:
    """Keys' kernel with a = -3/4, on the four elements around."""
    place = _place(length, to, scale, align_corners)
    low = np.floor(place)
    away = np.abs((place - low)[:, None] - np.arange(-1, 3))
    a = -0.75
    near = ((a + 2) * away - (a + 3)) * away**2 + 1
    far = ((away - 5) * away + 8) * away * a - 4 * a
    index = low.astype(np.int64)[:, None] + np.arange(-1, 3)
    return _taps(np.clip(index, 0, length - 1), np.where(away <= 1, near, far), length)


_MODES: dict[str, Callable[[int, int, float, bool], Taps]] = {
    "nearest": _nearest,
    "nearest-exact": _nearest_exact,
    "linear": _linear,
    "bilinear": _linear,
    "bicubic": _cubic,
}
