"""Convolution 3 x 3 by Winograd's minimal filtering F(4 x 4, 3 x 3): 36 products for 16 results where taps take 144.

Y = A^T [(G g G^T) * (B^T d B)] A for tiles d (6 x 6) of the images, 4 apart, and their results Y (4 x 4); * is element
by element, and summed over the channels it is 36 matrix products (Winograd 1980; Lavin & Gray 2016). The transforms,
too, are products: of vec(d) by kron(B^T, B^T). For the weight's gradient the same is read backward: dg = G^T [(A dY
A^T) * (B^T d B)] G. oneDNN multiplies; blocks of images keep what lies between in the cache.

With the points 0, 1, -1, 1/2, -2 and infinity the rounding error is about 3 times that of adding up the taps, with the
usual 0, 1, -1, 2, -2 it is 4 times. Two cores of an AMD EPYC (Zen 4), forward, input and weight gradient, 256 to 256
channels: 250 images of 7 x 7 43, 43 and 45 ms, by taps 54, 54 and 63; 64 images of 16 x 16 45, 44 and 47 ms, by taps
80, 80 and 86. With 128 channels both take the same time.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

from dlcourse.backend.cpu import onednn, threads
from dlcourse.backend.cpu.finite import finite
from dlcourse.backend.cpu.memory import scratch
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import conv as kernels
from dlcourse.backend.kernels import require
from dlcourse.backend.kernels.conv import ConvGeometry, Pair
from dlcourse.backend.kernels.grad_buffers import takes

OUT, TAPS, TILE = 4, 3, 6
POINTS = 0.0, 1.0, -1.0, 0.5, -2.0
MIN_CHANNELS = 256
"""Fewer do not pay for the transforms."""
MAX_SHARE = 0.4
"""Of the products by taps that may be left: of images of 3 x 3, whose tiles are half empty, taps are the faster way."""
MIN_TILES, BLOCK_TILES = 256, 1024
"""In a call, and in a block of it."""


def _matrices() -> tuple[Array, Array, Array]:
    """A^T (4, 6), G (6, 3) and B^T (6, 6), by Lagrange's interpolation through the points and infinity."""

    def powers(count: int) -> Array:
        return np.array([[point**k for k in range(count)] for point in POINTS] + [[0.0] * (count - 1) + [1.0]])

    scale = np.array([math.prod(p - q for q in POINTS if q != p) for p in POINTS] + [1.0])[:, None]
    return powers(OUT).T, powers(TAPS) / scale, np.linalg.inv(powers(TILE)).T * scale


_A, _G, _B = (np.kron(m, m).astype(np.float32) for m in _matrices())


@onednn.built_once
def _product(layouts: tuple, adds: bool) -> Callable:
    a, b, y = (onednn.strided(*layout) for layout in layouts)
    after = [("sum", 1.0)] if adds else []
    descriptor = onednn.describe("matmul", a, b, None, y, after=after)
    return onednn.Primitive(descriptor, {onednn.SRC: a, onednn.WEIGHTS: b, onednn.DST: y})


def _multiply(a: Array, b: Array, y: Array, adds: bool = False) -> Array:
    """y <- a b, or y + a b, of matrices in the last two axes."""
    layouts = tuple((each.shape, tuple(s // each.itemsize for s in each.strides)) for each in (a, b, y))
    _product(layouts, adds)({onednn.SRC: a, onednn.WEIGHTS: b, onednn.DST: y})
    return y


def _between(name: str, *shape: int) -> Array:
    return scratch(f"winograd-{name}", shape, np.dtype(np.float32))


def _tiles(size: Pair) -> Pair:
    return -(-size[0] // OUT), -(-size[1] // OUT)


def _check(geometry: ConvGeometry, window: Pair, size: Pair, channels: Pair, count: int) -> None:
    """Decline what is no 3 x 3 convolution by single steps, and what would not gain."""
    require(window == (TAPS, TAPS) and geometry == ConvGeometry(padding=geometry.padding))
    require(min(channels) >= MIN_CHANNELS and max(geometry.padding) < TAPS)
    tiles = math.prod(_tiles(size))
    require(tiles * TILE**2 <= MAX_SHARE * TAPS**2 * math.prod(size) and count * tiles >= MIN_TILES)


def _blocks(count: int, tiles: Pair) -> Iterator[slice]:
    yield from threads.slices(count, max(1, BLOCK_TILES // math.prod(tiles)))


def _gathered(name: str, x: Array, tiles: Pair, side: int, padding: Pair) -> Array:
    """Squares of that side, 4 apart, as (side side, n th tw C); the images (n, H, W, C) are padded with zeros."""
    n, height, width, channels = x.shape
    reach = tuple(OUT * count + side - OUT for count in tiles)
    padded, out = _between("padded", n, *reach, channels), _between(name, side, side, n, *tiles, channels)
    (top, left), (rows, columns) = padding, (min(height, reach[0] - padding[0]), min(width, reach[1] - padding[1]))
    step = padded.strides
    strides = step[1], step[2], step[0], OUT * step[1], OUT * step[2], step[3]

    def copy(part: slice) -> None:
        here = padded[part]
        here[:, :top], here[:, top + rows :] = 0, 0
        here[:, :, :left], here[:, :, left + columns :] = 0, 0
        here[:, top : top + rows, left : left + columns] = x[part, :rows, :columns]
        shape = side, side, len(here), *tiles, channels
        out[:, :, part] = np.lib.stride_tricks.as_strided(here, shape, strides)

    threads.run(copy, _parts(n))
    return out.reshape(side * side, -1)


def _parts(count: int) -> list[slice]:
    return threads.slices(count, -(-count // threads.budget()))


def _put(squares: Array, tiles: Pair, y: Array) -> None:
    """The results (16, n th tw O) into the images (n, H', W', O), without what lies beyond."""
    grid = squares.reshape(OUT, OUT, len(y), *tiles, y.shape[3])

    def copy(part: slice) -> None:
        for i in range(OUT):
            for j in range(OUT):
                place = y[part, i::OUT, j::OUT]
                place[...] = grid[i, j, part, : place.shape[1], : place.shape[2]]

    threads.run(copy, _parts(len(y)))


def _convolve(x: Array, filters: Array, size: Pair, padding: Pair) -> Array:
    """y (N, H', W', O) by transformed filters (36, C, O), of any strides."""
    channels, outputs = filters.shape[1:]
    y, tiles = np.empty((len(x), *size, outputs), dtype=x.dtype), _tiles(size)
    for part in _blocks(len(x), tiles):
        count = len(x[part]) * math.prod(tiles)
        d = _gathered("tiles", x[part], tiles, TILE, padding)
        v = _multiply(_B, d, _between("inputs", *d.shape)).reshape(TILE**2, count, channels)
        m = _multiply(v, filters, _between("products", TILE**2, count, outputs)).reshape(TILE**2, -1)
        _put(_multiply(_A, m, _between("results", OUT**2, count * outputs)), tiles, y[part])
    require(finite(y))  # one NaN or infinity would be in all of its tile
    return y


def _transformed(taps: Array) -> Array:
    """(36, ...) of taps (9, ...)."""
    flat = np.ascontiguousarray(taps).reshape(TAPS**2, -1)
    return _multiply(_G, flat, _between("filters", TILE**2, flat.shape[1])).reshape(TILE**2, *taps.shape[1:])


@onednn.override(kernels.conv2d, priority=2)
def conv2d(x: Array, weight: Array, bias: Array | None, geometry: ConvGeometry) -> Array:
    require(onednn.suits(x, weight))
    outputs, *window, channels = weight.shape
    size = geometry.out_size(x.shape, weight.shape[1:3])
    _check(geometry, tuple(window), size, (channels, outputs), len(x))
    filters = _transformed(weight.transpose(1, 2, 0, 3).reshape(TAPS**2, outputs, channels))
    y = _convolve(x, filters.swapaxes(1, 2), size, geometry.padding)
    if bias is not None:
        y += bias
    return y


@onednn.override(kernels.conv2d_input_grad, priority=2)
def conv2d_input_grad(dout: Array, weight: Array, x_shape: tuple, geometry: ConvGeometry) -> Array:
    require(onednn.suits(dout, weight))
    outputs, *window, channels = weight.shape
    _check(geometry, tuple(window), x_shape[1:3], (channels, outputs), len(dout))
    backward = weight[:, ::-1, ::-1].transpose(1, 2, 0, 3).reshape(TAPS**2, outputs, channels)
    top, left = geometry.padding
    padding = TAPS - 1 - top, TAPS - 1 - left
    return _convolve(dout, _transformed(backward), tuple(x_shape[1:3]), padding)


@onednn.override(kernels.conv2d_weight_grad, priority=2)
def conv2d_weight_grad(dout: Array, x: Array, weight_shape: tuple, geometry: ConvGeometry, out: Array | None) -> Array:
    require(onednn.suits(dout, x) and takes(out, dout.dtype))
    outputs, *window, channels = weight_shape
    _check(geometry, tuple(window), dout.shape[1:3], (channels, outputs), len(x))
    tiles, total = _tiles(dout.shape[1:3]), _between("filters", TILE**2, outputs, channels)
    for number, part in enumerate(_blocks(len(x), tiles)):
        count = len(x[part]) * math.prod(tiles)
        d = _gathered("tiles", x[part], tiles, TILE, geometry.padding)
        v = _multiply(_B, d, _between("inputs", *d.shape)).reshape(TILE**2, count, channels)
        dy = _gathered("results", dout[part], tiles, OUT, (0, 0))
        dm = _multiply(_A.T, dy, _between("products", TILE**2, dy.shape[1])).reshape(TILE**2, count, outputs)
        _multiply(dm.swapaxes(1, 2), v, total, adds=number > 0)
    taps = _multiply(_G.T, total.reshape(TILE**2, -1), _between("taps", TAPS**2, outputs * channels))
    require(finite(taps))
    dweight = np.empty(weight_shape, dtype=dout.dtype) if out is None else out
    dweight[...] = taps.reshape(TAPS, TAPS, outputs, channels).transpose(2, 0, 1, 3)
    return dweight
