"""Matrix products by oneDNN, on matrices as they lie.

Of its two ways each has its shapes. Measured on two cores of a Xeon (Sapphire Rapids), GF/s by the matmul primitive, by
``sgemm`` and by OpenBLAS: x W^T of 128 x 3072 x 512 231, 155, 159; of 4096 x 128 x 512 241, 227, 200; dy^T x of
128 x 3072 x 512 171, 260, 230. On two cores of an AMD EPYC (Zen 4): 206, 104, 144; 185, 206, 182; 172, 187, 155. So the
layer's x W^T takes the first, the gradients the second.

The rule is fixed, not timed anew for each shape: of seven shapes from 64 x 256 x 1024 to 4096 x 128 x 512 in all three
orientations, another way was faster by more than 8 % in two on that EPYC (x W^T of 4096 x 128 x 512 by 14 %, dy^T x of
64 x 256 x 1024 by 11 %), and a processor that others use would have been timed wrong.
"""

import functools
from collections.abc import Callable
from ctypes import c_char, c_float, c_int64, c_void_p

import numpy as np

from dlcourse.backend.cpu import onednn
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import linear as kernels
from dlcourse.backend.kernels import require

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
    descriptor = onednn.describe("matmul", x, weight, shift if bias else None, y)
    layouts = {onednn.SRC: x, onednn.WEIGHTS: weight, onednn.DST: y}
    return onednn.Primitive(descriptor, layouts | ({onednn.BIAS: shift} if bias else {}))


@onednn.override(kernels.affine)
def affine(x: Array, weight: Array, bias: Array | None) -> Array:
    rows, inner, columns = len(x), x.shape[1], len(weight)
    if rows * inner * columns < MIN_WORK or not weight.flags.c_contiguous:
        return NotImplemented
    operands = {onednn.SRC: x, onednn.WEIGHTS: weight} | ({} if bias is None else {onednn.BIAS: bias})
    if not onednn.suits(*operands.values()) or x.strides[1] != 4 or x.strides[0] < 4 * inner:
        return NotImplemented
    require(bias is None or bias.flags.c_contiguous)
    compute = _affine(rows, inner, columns, x.strides[0] // 4, bias is not None)
    y = np.empty((rows, columns), dtype=np.float32)
    compute(operands | {onednn.DST: y})
    return y


@onednn.override(kernels.product)
def product(a: Array, b: Array, out: Array | None) -> Array:
    rows, inner, columns = len(a), a.shape[1], b.shape[1]
    if rows * inner * columns < MIN_WORK or not onednn.available() or not onednn.suits(a, b):
        return NotImplemented
    y = np.empty((rows, columns), dtype=np.float32) if out is None else out
    first, second = _layout(a), _layout(b)
    if first is None or second is None or y.dtype != np.float32 or y.strides[1] != 4 or y.strides[0] < 4 * columns:
        return NotImplemented
    status = _sgemm()(
        *(first[0], second[0], rows, columns, inner),
        *(1.0, a.ctypes.data, first[1], b.ctypes.data, second[1]),
        *(0.0, y.ctypes.data, y.strides[0] // 4),
    )
    return y if status == 0 else NotImplemented


def _layout(matrix: Array) -> tuple[bytes, int] | None:
    """How a matrix lies, as BLAS names it, and the distance of its rows (columns where transposed)."""
    of_row, of_column = matrix.strides[0] // 4, matrix.strides[1] // 4
    if matrix.strides[1] == 4 and of_row >= matrix.shape[1]:
        return b"N", of_row
    if matrix.strides[0] == 4 and of_column >= matrix.shape[0]:
        return b"T", of_column
    return None
