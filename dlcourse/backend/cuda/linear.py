"""Matrix products of the layers on the GPU, by cuBLASLt; bias and activation are done by the product itself.

The sums over rows that a bias's gradient is come from the product of the weight's gradient, or from the one pass that
takes a gradient through an activation.
"""

from typing import Any

import numpy as np

from dlcourse.backend.cuda import blas, epilogues
from dlcourse.backend.cuda.activation import relu_in_place
from dlcourse.backend.cuda.block_counters import block_counters
from dlcourse.backend.cuda.program import NULL, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import linear as kernels
from dlcourse.backend.kernels import override
from dlcourse.backend.precision import accumulation_dtype

THREADS, EACH = 256, 4
"""Of a block that sums columns, and the columns of a thread, as ``linear.cu`` has them."""
PARTS = 528
"""Blocks of a sum: four for each multiprocessor of an H200, with some 128 kB on their way to each; more would only make
the last block's sum over them longer."""


@override(kernels.affine, "cuda", half=True)
def affine(x: Array, weight: Array, bias: Array | None) -> Array:
    if type_suffix(x, weight) is None:
        return NotImplemented
    return blas.gemm(x, weight.T, bias=bias)


@override(kernels.product, "cuda", half=True)
def product(a: Array, b: Array, out: Array | None) -> Array:
    if type_suffix(a, b) is None:
        return NotImplemented
    return blas.gemm(a, b, out)


@override(kernels.matmul, "cuda", half=True)
def matmul(a: Array, b: Array) -> Array:
    if type_suffix(a, b) is None or a.ndim != b.ndim or a.ndim < 2 or a.shape[:-2] != b.shape[:-2]:
        return NotImplemented
    if a.ndim < 4:
        return blas.gemm(a, b)
    xp = array_module(a)
    flat = (xp.ascontiguousarray(array).reshape(-1, *array.shape[-2:]) for array in (a, b))
    return blas.gemm(*flat).reshape(*a.shape[:-1], b.shape[-1])


@override(kernels.column_sums, "cuda", half=True)
def column_sums(x: Array, out: Array | None) -> Array:
    name, xp = type_suffix(x), array_module(x)
    if name is None or not x.size or (out is not None and out.dtype != x.dtype):
        return NotImplemented
    return _summed("column_sums", (xp.ascontiguousarray(x),), out)


@override(kernels.affine_relu, "cuda", half=True)
def affine_relu(x: Array, weight: Array, bias: Array) -> Array:
    name, xp = type_suffix(x, weight, bias), array_module(x)
    if name is None:
        return NotImplemented
    return product_relu(x, weight, bias, xp.empty((len(x), len(weight)), dtype=x.dtype))


def product_relu(x: Array, weight: Array, bias: Array, y: Array) -> Array:
    """y <- max(x W^T + b, 0) for matrices row-major of one type that has kernels; returns y."""
    if epilogues.relu(x, weight, bias, y) or not y.size:
        return y
    return relu_in_place(blas.gemm(x, weight.T, y, bias=bias))


@override(kernels.affine_gelu_tanh, "cuda", half=True)
def affine_gelu_tanh(x: Array, weight: Array, bias: Array) -> tuple[Array, Array]:
    return epilogues.gelu_tanh(x, weight, bias)


@override(kernels.relu_bias_grad, "cuda", half=True)
def relu_bias_grad(dout: Array, y: Array, out: Array | None) -> tuple[Array, Array]:
    return _through("relu_bias_grad", dout, y, out)


@override(kernels.gelu_tanh_bias_grad, "cuda", half=True)
def gelu_tanh_bias_grad(dout: Array, z: Array, out: Array | None) -> tuple[Array, Array]:
    return _through("gelu_tanh_bias_grad", dout, z, out)


@override(kernels.weight_and_bias_grad, "cuda", half=True)
def weight_and_bias_grad(dout: Array, x: Array, grad_buffers: tuple) -> tuple[Array, Array]:
    if type_suffix(dout, x) is None:
        return NotImplemented
    (dweight, dbias), xp = grad_buffers, array_module(dout)
    dweight = xp.empty((dout.shape[1], x.shape[1]), dtype=x.dtype) if dweight is None else dweight
    dbias = xp.empty(dout.shape[1], dtype=x.dtype) if dbias is None else dbias
    return (dweight, dbias) if epilogues.weight_and_bias_grad(dout, x, dweight, dbias) else NotImplemented


def _through(kernel: str, dout: Array, other: Array, out: Array | None) -> tuple[Array, Array]:
    """dz and its column sums, by the kernel of that name."""
    if type_suffix(dout, other) is None or not dout.size or (out is not None and out.dtype != dout.dtype):
        return NotImplemented
    xp = array_module(dout)
    dout, other = xp.ascontiguousarray(dout), xp.ascontiguousarray(other)
    dz = xp.empty_like(dout)
    return dz, _summed(kernel, (dout, other, dz), out)


def _summed(kernel: str, arrays: tuple[Array, ...], out: Array | None) -> Array:
    """Column sums by a kernel of ``linear.cu`` over matrices row-major, all of one shape."""
    (rows, columns), dtype, xp = arrays[0].shape, arrays[0].dtype, array_module(arrays[0])
    out = xp.empty(columns, dtype=dtype) if out is None else out
    lanes = min(32, 1 << (-(-columns // EACH) - 1).bit_length())
    across, groups = -(-columns // (EACH * lanes)), THREADS // lanes
    parts = max(1, min(PARTS // across, rows // (4 * groups)))
    partial: Any = NULL if parts == 1 else xp.empty((parts, across, lanes, EACH), dtype=accumulation_dtype(dtype))
    arrived = NULL if parts == 1 else block_counters(xp)
    arguments = *arrays, partial, arrived, out, np.int64(rows), np.int32(columns)
    program("linear").launch(f"{kernel}_{type_suffix(*arrays)}", (across, parts), (lanes, groups), arguments)
    return out
