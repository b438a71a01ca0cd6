"""Convolution 3 x 3 by Winograd's minimal filtering F(4 x 4, 3 x 3): 36 products for 16 results where taps take 144.

Y = A^T [(G g G^T) * (B^T d B)] A for tiles d (6 x 6) of the images, 4 apart, and their results Y (4 x 4); * is element
by element, and summed over the channels it is 36 matrix products (Winograd 1980; Lavin & Gray 2016). The transforms,
too, are products, of a small matrix with the rows of tiles and then with their columns, read and written where they
lie. For the weight's gradient the same is read backward: dg = G^T [(A dY A^T) * (B^T d B)] G. oneDNN multiplies;
blocks of images keep what lies between in the cache.

With the points 0, 1, -1, 1/2, -2 and infinity the rounding error is about 3 times that of adding up the taps, with the
usual 0, 1, -1, 2, -2 it is 4 times. One core of an AMD EPYC (Zen 4), forward, input and weight gradient, by this way
and by taps:

| images | channels | this way, ms | taps, ms |
|---|---|---|---|
| 250 of 7 x 7 | 256 to 256 | 65, 65, 66 | 114, 112, 129 |
| 250 of 15 x 15 | 64 to 256 | 94, 95, 100 | 143, 136, 145 |
| 128 of 8 x 8 | 128 to 128 | 13, 13, 13 | 19, 19, 21 |
| 128 of 8 x 8 | 64 to 128 | 8.1, 8.6, 9.0 | 9.6, 9.5, 11 |
| 250 of 15 x 15 | 64 to 64 | 43, 41, 45 | 34, 35, 39 |
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
MIN_CHANNELS, MIN_PRODUCT = 64, 64 * 128
"""Fewer, and a smaller product of both numbers of channels, do not pay for the transforms."""
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


_A, _G, _B = (m.astype(np.float32) for m in _matrices())


@onednn.built_once
def _product(layouts: tuple, adds: bool) -> Callable:
    a, b, y = (onednn.strided(*layout) for layout in layouts)
    after = [("sum", 1.0)] if adds else []
    descriptor = onednn.describe("matmul", a, b, None, y, after=after)
    return onednn.Primitive(descriptor, {onednn.SRC: a, onednn.WEIGHTS: b, onednn.DST: y})


def _multiply(a: Array, b: Array, y: Array, adds: bool = False) -> Array:
    """y <- a b, or y + a b, of matrices in the last two axes; one matrix a is for all of b."""
    if a.ndim < b.ndim:  # oneDNN has no fast way for a matrix that serves all
        copies = _between("copies", *b.shape[:-2], *a.shape)
        copies[...] = a
        a = copies
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
    require(min(channels) >= MIN_CHANNELS and math.prod(channels) >= MIN_PRODUCT and max(geometry.padding) < TAPS)
    tiles = math.prod(_tiles(size))
    require(tiles * TILE**2 <= MAX_SHARE * TAPS**2 * math.prod(size) and count * tiles >= MIN_TILES)


def _blocks(count: int, tiles: Pair) -> Iterator[slice]:
    yield from threads.slices(count, max(1, BLOCK_TILES // math.prod(tiles)))


def _spread(name: str, matrix: Array, x: Array, tiles: Pair, padding: Pair = (0, 0)) -> Array:
    """M d M^T of squares d, 4 apart, of the images (n, H, W, C) with zeros around: (36, tw th n, C).

    First the rows of all squares in a line, of each column of the images, then the columns.
    """
    n, height, width, channels = x.shape
    rows = _between("rows", TILE, width, tiles[0], n, channels)
    for number in range(tiles[0]):
        there, part = _within(number, matrix, padding[0], height)
        _multiply(part, x[:, there].transpose(0, 2, 1, 3), rows[:, :, number].transpose(2, 1, 0, 3))
    rows, out = rows.reshape(TILE, width, -1), _between(name, TILE, TILE, tiles[1], tiles[0] * n * channels)
    for number in range(tiles[1]):
        there, part = _within(number, matrix, padding[1], width)
        _multiply(part, rows[:, there], out[:, :, number])
    return out.reshape(TILE**2, -1, channels)


def _within(number: int, matrix: Array, padding: int, length: int) -> tuple[slice, Array]:
    """Of the square of that number the places inside the image, and their columns of the matrix."""
    start = OUT * number - padding
    first, last = max(start, 0), min(start + matrix.shape[1], length)
    return slice(first, last), matrix[:, first - start : last - start]


def _collect(matrix: Array, squares: Array, tiles: Pair, y: Array) -> None:
    """M m M^T of the squares (36, tw th n, O), as tiles of the images y (n, H', W', O) without what lies beyond."""
    n, height, width, channels = y.shape
    squares = squares.reshape(TILE, TILE, tiles[1], -1)
    rows = _between("rows", TILE, width, tiles[0] * n * channels)
    for number in range(tiles[1]):
        place = rows[:, OUT * number : OUT * number + len(matrix)]
        _multiply(matrix[: place.shape[1]], squares[:, :, number], place)
    rows = rows.reshape(TILE, width, tiles[0], n, channels)
    for number in range(tiles[0]):
        place = y[:, OUT * number : OUT * number + len(matrix)]
        _multiply(matrix[: place.shape[1]], rows[:, :, number].transpose(2, 1, 0, 3), place.transpose(0, 2, 1, 3))


def _convolve(x: Array, filters: Array, size: Pair, padding: Pair) -> Array:
    """y (N, H', W', O) by transformed filters (36, C, O), of any strides."""
    outputs = filters.shape[2]
    y, tiles = np.empty((len(x), *size, outputs), dtype=x.dtype), _tiles(size)
    for part in _blocks(len(x), tiles):
        v = _spread("inputs", _B, x[part], tiles, padding)
        m = _multiply(v, filters, _between("products", *v.shape[:2], outputs))
        _collect(_A, m, tiles, y[part])
        require(finite(y[part]))  # one NaN or infinity would be in all of its tile
    return y


@onednn.override(kernels.conv2d, priority=2)
def conv2d(x: Array, weight: Array, bias: Array | None, geometry: ConvGeometry) -> Array:
    require(onednn.suits(x, weight))
    outputs, *window, channels = weight.shape
    size = geometry.out_size(x.shape, weight.shape[1:3])
    _check(geometry, tuple(window), size, (channels, outputs), len(x))
    filters = _spread("filters", _G, weight, (1, 1))
    y = _convolve(x, filters.swapaxes(1, 2), size, geometry.padding)
    if bias is not None:
        y += bias
    return y


@onednn.override(kernels.conv2d_input_grad, priority=2)
def conv2d_input_grad(dout: Array, weight: Array, x_shape: tuple, geometry: ConvGeometry) -> Array:
    require(onednn.suits(dout, weight))
    outputs, *window, channels = weight.shape
    _check(geometry, tuple(window), x_shape[1:3], (channels, outputs), len(dout))
    top, left = geometry.padding
    backward = _spread("filters", _G[:, ::-1], weight, (1, 1))
    return _convolve(dout, backward, tuple(x_shape[1:3]), (TAPS - 1 - top, TAPS - 1 - left))


@onednn.override(kernels.conv2d_weight_grad, priority=2)
def conv2d_weight_grad(dout: Array, x: Array, weight_shape: tuple, geometry: ConvGeometry, out: Array | None) -> Array:
    require(onednn.suits(dout, x) and takes(out, dout.dtype))
    outputs, *window, channels = weight_shape
    _check(geometry, tuple(window), dout.shape[1:3], (channels, outputs), len(x))
    tiles, total = _tiles(dout.shape[1:3]), _between("filters", TILE**2, outputs, channels)
    for number, part in enumerate(_blocks(len(x), tiles)):
        v = _spread("inputs", _B, x[part], tiles, geometry.padding)
        dm = _spread("products", _A.T, dout[part], tiles)
        _multiply(dm.swapaxes(1, 2), v, total, adds=number > 0)
    dweight = np.empty(weight_shape, dtype=dout.dtype) if out is None else out
    _collect(_G.T, total, (1, 1), dweight)
    require(finite(dweight))
    return dweight
