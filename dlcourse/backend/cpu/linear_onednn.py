"""Matrix products by oneDNN, on matrices as they lie. Functions give False where it is absent or does not suit.

Of its two ways each has its shapes. Measured on two cores of a Xeon (Sapphire Rapids), GF/s by the matmul primitive, by
``sgemm`` and by OpenBLAS: x W^T of 128 x 3072 x 512 231, 155, 159; of 4096 x 128 x 512 241, 227, 200; dy^T x of
128 x 3072 x 512 171, 260, 230. So the layer's x W^T takes the first, the gradients the second.
"""

import functools
from collections.abc import Callable
from ctypes import c_char, c_float, c_int64, c_void_p

from dlcourse.backend.cpu import onednn
from dlcourse.backend.device import Array

MIN_WORK = 1 << 16
"""Multiplications below which the call costs more than it saves."""


@functools.cache
def _sgemm() -> Callable:
    function = onednn.library().dnnl_sgemm
    numbers = [c_int64] * 3, [c_float, c_void_p, c_int64, c_void_p, c_int64], [c_float, c_void_p, c_int64]
    function.argtypes = [c_char, c_char, *(kind for group in numbers for kind in group)]
    return function


@onednn.built_once
def _affine(rows: int, inner: int, columns: int, distance: int, bias: bool) -> Callable:
    x, y = onednn.strided((rows, inner), (distance, 1)), onednn.strided((rows, columns), (columns, 1))
    weight, shift = onednn.strided((inner, columns), (1, inner)), onednn.strided((1, columns), (columns, 1))
    descriptor = onednn.describe("matmul", onednn.engine(), x, weight, shift if bias else None, y)
    layouts = {onednn.SRC: x, onednn.WEIGHTS: weight, onednn.DST: y}
    return onednn.Primitive(descriptor, layouts | ({onednn.BIAS: shift} if bias else {}))


def affine(x: Array, weight: Array, bias: Array | None, y: Array) -> bool:
    """y <- x W^T + b for x (M, in), W (out, in) and y (M, out) row-major without gaps between W's and y's."""
    rows, inner, columns = len(x), x.shape[1], len(weight)
    operands = (x, weight, y) if bias is None else (x, weight, y, bias)
    if rows * inner * columns < MIN_WORK or not onednn.suits(*operands) or not weight.flags.c_contiguous:
        return False
    if x.strides[1] != 4 or x.strides[0] < 4 * inner or (bias is not None and not bias.flags.c_contiguous):
        return False
    compute = _affine(rows, inner, columns, x.strides[0] // 4, bias is not None)
    if compute is None:
        return False
    arrays = {onednn.SRC: x, onednn.WEIGHTS: weight, onednn.DST: y}
    with onednn.lock:
        compute(arrays if bias is None else arrays | {onednn.BIAS: bias})
    return True


def product(a: Array, b: Array, out: Array) -> bool:
    """out <- a b for a (M, K), b (K, N) and out (M, N), each row- or column-contiguous, out row-major."""
    rows, inner, columns = len(a), a.shape[1], b.shape[1]
    if rows * inner * columns < MIN_WORK or not onednn.available() or not onednn.suits(a, b, out):
        return False
    first, second = _layout(a), _layout(b)
    if first is None or second is None or out.strides[1] != 4 or out.strides[0] < 4 * columns:
        return False
    status = _sgemm()(
        *(first[0], second[0], rows, columns, inner),
        *(1.0, a.ctypes.data, first[1], b.ctypes.data, second[1]),
        *(0.0, out.ctypes.data, out.strides[0] // 4),
    )
    return status == 0


def _layout(matrix: Array) -> tuple[bytes, int] | None:
    """How a matrix lies, as BLAS names it, and the distance of its rows (columns where transposed)."""
    of_row, of_column = matrix.strides[0] // 4, matrix.strides[1] // 4
    if matrix.strides[1] == 4 and of_row >= matrix.shape[1]:
        return b"N", of_row
    if matrix.strides[0] == 4 and of_column >= matrix.shape[0]:
        return b"T", of_column
    return None
