"""Matrix products of the layers on the GPU, by cuBLASLt; bias and activation are done by the product itself.

The sums over rows that a bias's gradient is come from the product of the weight's gradient, or from the one pass that
takes a gradient through an activation.
"""

import numpy as np

from dlcourse.backend.cuda import blas, epilogues
from dlcourse.backend.cuda.activation import relu_in_place
from dlcourse.backend.cuda.block_counters import block_counters
from dlcourse.backend.cuda.program import contiguous, override, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import linear as kernels
from dlcourse.backend.kernels import require
from dlcourse.backend.precision import accumulation_dtype

THREADS, EACH = 256, 4
"""Of a block that sums columns, and the columns of a thread, as ``linear.cu`` has them."""
PARTS = 528
"""Blocks of a sum: four for each multiprocessor of an H200, with some 128 kB on their way to each; more would only make
the last block's sum over them longer."""


@override(kernels.affine, half=True)
def affine(x: Array, weight: Array, bias: Array | None) -> Array:
    _require_one_type(x, weight)
    return blas.gemm(x, weight.T, bias=bias)


@override(kernels.product, half=True)
def product(a: Array, b: Array, out: Array | None) -> Array:
    _require_one_type(a, b)
    return blas.gemm(a, b, out)


@override(kernels.matmul, half=True)
def matmul(a: Array, b: Array) -> Array:
    _require_one_type(a, b)
    require(a.ndim == b.ndim >= 2 and a.shape[:-2] == b.shape[:-2])
    if a.ndim < 4:
        return blas.gemm(a, b)
    xp = array_module(a)
    flat = (xp.ascontiguousarray(array).reshape(-1, *array.shape[-2:]) for array in (a, b))
    return blas.gemm(*flat).reshape(*a.shape[:-1], b.shape[-1])


@override(kernels.column_sums, half=True)
def column_sums(x: Array, out: Array | None) -> Array:
    return _summed("column_sums", contiguous(x), out)


@override(kernels.affine_relu, half=True)
def affine_relu(x: Array, weight: Array, bias: Array) -> Array:
    _require_one_type(x, weight, bias)
    return product_relu(x, weight, bias, array_module(x).empty((len(x), len(weight)), dtype=x.dtype))


def product_relu(x: Array, weight: Array, bias: Array, y: Array) -> Array:
    """y <- max(x W^T + b, 0) for matrices row-major of one type that has kernels; returns y."""
    if epilogues.relu(x, weight, bias, y) or not y.size:
        return y
    return relu_in_place(blas.gemm(x, weight.T, y, bias=bias))


@override(kernels.affine_gelu_tanh, half=True)
def affine_gelu_tanh(x: Array, weight: Array, bias: Array) -> tuple[Array, Array]:
    return epilogues.gelu_tanh(x, weight, bias)


@override(kernels.relu_bias_grad, half=True)
def relu_bias_grad(dout: Array, y: Array, out: Array | None) -> tuple[Array, Array]:
    return _through("relu_bias_grad", dout, y, out)


@override(kernels.gelu_tanh_bias_grad, half=True)
def gelu_tanh_bias_grad(dout: Array, z: Array, out: Array | None) -> tuple[Array, Array]:
    return _through("gelu_tanh_bias_grad", dout, z, out)


@override(kernels.weight_and_bias_grad, half=True)
def weight_and_bias_grad(dout: Array, x: Array, grad_buffers: tuple) -> tuple[Array, Array]:
    _require_one_type(dout, x, *grad_buffers)
    (dweight, dbias), xp = grad_buffers, array_module(dout)
    dweight = xp.empty((dout.shape[1], x.shape[1]), dtype=x.dtype) if dweight is None else dweight
    dbias = xp.empty(dout.shape[1], dtype=x.dtype) if dbias is None else dbias
    require(epilogues.weight_and_bias_grad(dout, x, dweight, dbias))
    return dweight, dbias


def _require_one_type(first: Array, *others: Array | None) -> None:
    """Decline what cuBLASLt does not multiply."""
    require(first.dtype.name in blas.REAL and all(each is None or each.dtype == first.dtype for each in others))


def _through(kernel: str, dout: Array, other: Array, out: Array | None) -> tuple[Array, Array]:
    """dz and its column sums, by the kernel of that name."""
    dout, other = contiguous(dout, other)
    dz = array_module(dout).empty_like(dout)
    return dz, _summed(kernel, [dout, other, dz], out)


def _summed(kernel: str, arrays: list[Array], out: Array | None) -> Array:
    """Column sums by a kernel of ``linear.cu`` over matrices row-major, all of one shape."""
    suffix = type_suffix(*arrays, out)
    (rows, columns), dtype, xp = arrays[0].shape, arrays[0].dtype, array_module(arrays[0])
    out = xp.empty(columns, dtype=dtype) if out is None else out
    lanes = min(32, 1 << (-(-columns // EACH) - 1).bit_length())
    across, groups = -(-columns // (EACH * lanes)), THREADS // lanes
    parts = max(1, min(PARTS // across, rows // (4 * groups)))
    partial = None if parts == 1 else xp.empty((parts, across, lanes, EACH), dtype=accumulation_dtype(dtype))
    arrived = None if parts == 1 else block_counters(xp)
    arguments = *arrays, partial, arrived, out, np.int64(rows), np.int32(columns)
    program("linear").launch(f"{kernel}_{suffix}", (across, parts), (lanes, groups), arguments)
    return out
