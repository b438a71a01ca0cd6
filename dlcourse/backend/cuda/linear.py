"""Matrix products of the layers on the GPU, by cuBLASLt; the bias is added by the product itself."""

import numpy as np

from dlcourse.backend.cuda import blas
from dlcourse.backend.cuda.program import name_of, program
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import linear as kernels
from dlcourse.backend.kernels import override
from dlcourse.backend.precision import full

THREADS, ACROSS = 256, 32
"""Of a block that sums columns: 32 columns, 8 rows at a time."""
PARTS = 264


@override(kernels.affine, "cuda", half=True)
def affine(x: Array, weight: Array, bias: Array | None) -> Array:
    if name_of(x, weight) is None:
        return kernels.affine.reference(x, weight, bias)
    return blas.gemm(x, weight.T, bias=bias)


@override(kernels.product, "cuda", half=True)
def product(a: Array, b: Array, out: Array | None) -> Array:
    if name_of(a, b) is None:
        return kernels.product.reference(a, b, out)
    return blas.gemm(a, b, out)


@override(kernels.matmul, "cuda", half=True)
def matmul(a: Array, b: Array) -> Array:
    if name_of(a, b) is None or a.ndim != b.ndim or a.ndim < 2 or a.shape[:-2] != b.shape[:-2]:
        return kernels.matmul.reference(a, b)
    if a.ndim < 4:
        return blas.gemm(a, b)
    xp = array_module(a)
    flat = (xp.ascontiguousarray(array).reshape(-1, *array.shape[-2:]) for array in (a, b))
    return blas.gemm(*flat).reshape(*a.shape[:-1], b.shape[-1])


@override(kernels.column_sums, "cuda", half=True)
def column_sums(x: Array, out: Array | None) -> Array:
    name, xp = name_of(x), array_module(x)
    if name is None or not x.size or (out is not None and out.dtype != x.dtype):
        return kernels.column_sums.reference(x, out)
    x, out = xp.ascontiguousarray(x), xp.empty(x.shape[1], dtype=x.dtype) if out is None else out
    rows, columns = x.shape
    across, each = -(-columns // ACROSS), THREADS // ACROSS
    parts = max(1, min(PARTS // across, rows // (4 * each)))
    adding = full(x.dtype)
    alone = parts == 1 and adding == x.dtype  # the first kernel's sums are the result, not parts of it
    partial = out if alone else xp.empty((parts, columns), dtype=adding)
    sizes = np.int64(rows), np.int32(columns)
    launch = program("linear").launch
    launch(f"column_parts_{name}", (across, parts), (ACROSS, each), (x, partial, *sizes))
    if not alone:
        arguments = partial, out, np.int32(columns), np.int32(parts)
        launch(f"column_total_{name}", (-(-columns // THREADS),), (THREADS,), arguments)
    return out
