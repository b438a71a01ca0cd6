"""Matrix products by whichever library is the fastest here, on matrices as they lie.

There are up to four ways: oneDNN's matmul primitive, its ``sgemm``, NumPy's library in parts (``linear.py``) and MKL's
``cblas_sgemm``. Each has its shapes and its processors. GF/s by the primitive, by ``sgemm`` and by OpenBLAS:

| product | Xeon (Sapphire Rapids), two cores | EPYC (Zen 4), two cores |
|---|---|---|
| x W^T of 128 x 3072 x 512 | 231, 155, 159; MKL 221 | 206, 104, 144; MKL 166 |
| x W^T of 4096 x 128 x 512 | 241, 227, 200 | 185, 206, 182 |
| dy^T x of 128 x 3072 x 512 | 171, 260, 230; MKL 259 | 172, 187, 155; MKL 142 |

So by rule the layer's x W^T takes the primitive, the gradients ``sgemm``; that was the fastest or within 8 % in 19 of
21 products on that EPYC. Products that are large enough are timed instead, once on each machine for each orientation
and sizes up to the next power of two: see ``autotune.py``, which also says when the rule stays.
"""

import functools
from collections.abc import Callable
from ctypes import c_char, c_float, c_int64, c_void_p
from typing import NamedTuple

import numpy as np

from dlcourse.backend.autotune import following
from dlcourse.backend.cpu import autotune, linear, mkl, onednn, packaged, threads
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import Unsupported, override, require
from dlcourse.backend.kernels import linear as kernels

MIN_WORK = 1 << 16
"""Multiplications below which the call costs more than it saves."""
TIMED = 1 << 20, 1 << 31
"""Multiplications of the products that are timed. With smaller ones little is to gain; larger ones take long (25 ms),
and all libraries are about as good at them."""
ERROR = 5e-5
"""How far one way's result may be from another's, as a share of its largest element: float32's roundings of sums of
thousands of terms in another order."""

KEPT = 512
"""Products that are found at once; a primitive among them holds compiled code."""

NUMPY = "numpy"
Product = Callable[[Array, Array, Array | None, Array], None]
"""Writes a b (+ bias) into its last argument."""


class Setting(NamedTuple):
    """A product a b (+ bias) as it lies.

    Attributes:
        first, second: whether a and b lie by rows (N) or by columns (T), as BLAS names it.
        distances: from one row (or column) of a, b and the result to the next.
    """

    first: str
    second: str
    rows: int
    inner: int
    columns: int
    distances: tuple[int, int, int]
    bias: bool

    @property
    def work(self) -> int:
        return self.rows * self.inner * self.columns

    @property
    def timed_as(self) -> str:
        """What is timed together: orientation, sizes up to the next power of two, with a bias or without."""
        sizes = "x".join(str(1 << (size - 1).bit_length()) for size in (self.rows, self.inner, self.columns))
        return f"{self.first}{self.second}-{sizes}{'-bias' if self.bias else ''}"


@override(kernels.affine, "cpu", priority=1)
def affine(x: Array, weight: Array, bias: Array | None) -> Array:
    if len(x) * weight.size < MIN_WORK:
        return NotImplemented
    return _multiply(x, weight.T, bias, None, lambda: kernels.affine.without(affine)(x, weight, bias))


@override(kernels.product, "cpu", priority=1)
def product(a: Array, b: Array, out: Array | None) -> Array:
    if len(a) * b.size < MIN_WORK:
        return NotImplemented
    return _multiply(a, b, None, out, lambda: kernels.product.without(product)(a, b, out))


def _multiply(a: Array, b: Array, bias: Array | None, out: Array | None, by_numpy: Callable[[], Array]) -> Array:
    """The product, into ``out`` if given; declines where NumPy's way is the best, or the only one."""
    if packaged.forked():
        return NotImplemented
    y = np.empty((len(a), b.shape[1]), dtype=np.float32) if out is None else out
    of_bias = None if bias is None else (bias.strides, bias.dtype)
    key = a.shape, a.strides, a.dtype, b.shape, b.strides, b.dtype, y.shape, y.strides, y.dtype, of_bias
    compute = following.get(key)
    if compute is None:
        if len(following) >= KEPT:
            following.clear()
        compute = following[key] = _fastest(a, b, bias, y, by_numpy)
    if compute is NotImplemented:
        return NotImplemented
    compute(a, b, bias, y)
    return y


def _fastest(a: Array, b: Array, bias: Array | None, y: Array, by_numpy: Callable[[], Array]) -> Product:
    """What computes products that lie like this one; NotImplemented where NumPy's way does."""
    try:
        setting = _setting(a, b, bias, y)
        name = _chosen(setting, a, b, bias, y, by_numpy)
        return NotImplemented if name == NUMPY else WAYS[name](setting)
    except Unsupported:
        return NotImplemented


def _setting(a: Array, b: Array, bias: Array | None, y: Array) -> Setting:
    """
    Raises:
        Unsupported: there is NumPy alone, or nothing else suits these.
    """
    require((onednn.available() or mkl.available()) and onednn.suits(a, b, y))
    require(bias is None or (onednn.suits(bias) and bias.flags.c_contiguous))
    (first, of_a), (second, of_b), (by_rows, of_y) = _layout(a), _layout(b), _layout(y)
    require(by_rows == "N" and a.shape[1] == len(b) and y.shape == (len(a), b.shape[1]))
    return Setting(first, second, len(a), a.shape[1], b.shape[1], (of_a, of_b, of_y), bias is not None)


def _layout(matrix: Array) -> tuple[str, int]:
    """How a matrix lies, as BLAS names it, and the distance of its rows (columns where transposed).

    Raises:
        Unsupported: neither its rows nor its columns are without gaps.
    """
    of_row, of_column = matrix.strides[0] // 4, matrix.strides[1] // 4
    if matrix.strides[1] == 4 and of_row >= matrix.shape[1]:
        return "N", of_row
    require(matrix.strides[0] == 4 and of_column >= matrix.shape[0])
    return "T", of_column


def _chosen(setting: Setting, a: Array, b: Array, bias: Array | None, y: Array, by_numpy: Callable[[], Array]) -> str:
    """The name of the way to take: the rule's, or for products of a size that pays the one that was measured."""
    rule = "sgemm" if (setting.first, setting.second) != ("N", "T") else "matmul"
    rule = rule if onednn.available() else NUMPY
    least, most = TIMED
    if not least <= setting.work <= most:
        return rule

    def by(name: str) -> autotune.Candidate:
        if name == NUMPY:
            return by_numpy
        built = functools.cache(lambda: WAYS[name](setting))

        def candidate() -> Array:
            built()(a, b, bias, y)
            return y

        return candidate

    names = [name for name in _there(setting) if name != rule]
    name = autotune.choose(setting.timed_as, by(rule), lambda: {name: by(name) for name in names}, ERROR)
    return rule if name == autotune.DEFAULT else name


def _there(setting: Setting) -> list[str]:
    """The ways that this machine has.

    Of small products NumPy's is none beside oneDNN: OpenBLAS's own threads compute them, which then spin for 25 ms and
    take the cores from whatever comes next.
    """
    has_onednn, has_mkl = onednn.available(), mkl.available()
    in_parts = setting.work >= linear.MIN_WORK or threads.budget() == 1
    there = {"matmul": has_onednn, "sgemm": has_onednn, "mkl": has_mkl, NUMPY: in_parts or not has_onednn}
    return [name for name, is_there in there.items() if is_there]


def _matmul(setting: Setting) -> Product:
    first, second, rows, inner, columns, (of_a, of_b, of_y), bias = setting
    x = onednn.strided((rows, inner), (of_a, 1) if first == "N" else (1, of_a))
    weight = onednn.strided((inner, columns), (of_b, 1) if second == "N" else (1, of_b))
    shift, y = onednn.strided((1, columns), (columns, 1)), onednn.strided((rows, columns), (of_y, 1))
    descriptor = onednn.describe("matmul", x, weight, shift if bias else None, y)
    layouts = {onednn.SRC: x, onednn.WEIGHTS: weight, onednn.DST: y} | ({onednn.BIAS: shift} if bias else {})
    primitive = onednn.Primitive(descriptor, layouts)

    def compute(a: Array, b: Array, bias: Array | None, y: Array) -> None:
        operands = {onednn.SRC: a, onednn.WEIGHTS: b, onednn.DST: y}
        primitive(operands if bias is None else operands | {onednn.BIAS: bias})

    return compute


def _sgemm(setting: Setting) -> Product:
    function = onednn.library().dnnl_sgemm
    numbers = [c_int64] * 3, [c_float, c_void_p, c_int64, c_void_p, c_int64], [c_float, c_void_p, c_int64]
    function.argtypes = [c_char, c_char, *(kind for group in numbers for kind in group)]
    return _by_blas(setting, function, setting.first.encode(), setting.second.encode())


def _mkl(setting: Setting) -> Product:
    orientations = mkl.ORIENTATION[setting.first], mkl.ORIENTATION[setting.second]
    return _by_blas(setting, mkl.library().cblas_sgemm, mkl.ROW_MAJOR, *orientations)


def _by_blas(setting: Setting, function: Callable, *begin: object) -> Product:
    """By a function that takes, after its first arguments, what BLAS does; a bias lies in C before, and is added to."""
    _, _, rows, inner, columns, (of_a, of_b, of_y), _ = setting

    def compute(a: Array, b: Array, bias: Array | None, y: Array) -> None:
        if bias is not None:
            y[...] = bias
        beta = 0.0 if bias is None else 1.0
        operands = a.ctypes.data, of_a, b.ctypes.data, of_b, beta, y.ctypes.data, of_y
        status = function(*begin, rows, columns, inner, 1.0, *operands)
        if status:
            raise RuntimeError(f"the matrix library failed with status {status}")

    return compute


WAYS = {"matmul": _matmul, "sgemm": _sgemm, "mkl": _mkl}
"""The ways beside NumPy's: what makes the product of a setting."""
