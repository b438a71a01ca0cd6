"""Matrix products: by oneDNN where it is there, else in parts, one for each thread, OpenBLAS at one thread in each.

OpenBLAS's own threads reach the same speed on a quiet machine (185 against 190 GF/s), but they spin: on a busy one a
product then waits for whole time slices (ten times slower with three processes on two cores), and after each product
they take the core from what comes next. Parts that sleep until they are needed do not.
"""

import contextlib
from collections.abc import Callable

import numpy as np

from dlcourse.backend.cpu import activation_onednn, linear_onednn, threads
from dlcourse.backend.cpu.activation import relu_grad_by_choice
from dlcourse.backend.cpu.sums import row_sums
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import activation, override
from dlcourse.backend.kernels import linear as kernels
from dlcourse.backend.kernels.grad_buffers import copy_into

MIN_WORK = 1 << 23
"""Multiplications from which the pool's round trip of 0.05 ms is worth it. Somewhat smaller products go to OpenBLAS's
threads, which are quicker to start (200 x 3072 x 10: 0.15 ms on two, 0.27 on one, 0.33 in parts)."""
MIN_SHARED = 1 << 21
"""Multiplications below which one thread is enough, and waking others would only leave them spinning."""


@override(kernels.affine, "cpu")
def affine(x: Array, weight: Array, bias: Array | None) -> Array:
    y = np.empty((len(x), len(weight)), dtype=np.result_type(x, weight))
    if linear_onednn.affine(x, weight, bias, y):
        return y

    def part(rows: slice, columns: slice) -> None:
        target = y[rows, columns]
        np.matmul(x[rows], weight[columns].T, out=target)
        if bias is not None:
            target += bias[columns]

    _in_parts(part, len(x), x.shape[1], len(weight))
    return y


@override(kernels.product, "cpu")
def product(a: Array, b: Array, out: Array | None) -> Array:
    if out is None:
        out = np.empty((len(a), b.shape[1]), dtype=np.result_type(a, b))
    if linear_onednn.product(a, b, out):
        return out

    def part(rows: slice, columns: slice) -> None:
        np.matmul(a[rows], b[:, columns], out=out[rows, columns])

    _in_parts(part, len(a), a.shape[1], b.shape[1])
    return out


@override(kernels.column_sums, "cpu")
def column_sums(x: Array, out: Array | None) -> Array:
    return copy_into(row_sums(x), out)


@override(kernels.affine_relu, "cpu")
def affine_relu(x: Array, weight: Array, bias: Array) -> Array:
    return activation.relu(affine(x, weight, bias))


@override(kernels.affine_gelu_tanh, "cpu")
def affine_gelu_tanh(x: Array, weight: Array, bias: Array) -> tuple[Array, Array]:
    z = affine(x, weight, bias)
    return activation.gelu_tanh(z), z


@override(kernels.relu_bias_grad, "cpu")
def relu_bias_grad(dout: Array, y: Array, out: Array | None) -> tuple[Array, Array]:
    dz = activation_onednn.backward("relu from y", dout, y)
    if dz is not None:
        sums = column_sums(dz, out)
        if np.isfinite(sums).all():  # else it may have multiplied an infinity by 0, see relu_grad_by_choice
            return dz, sums
    dz = relu_grad_by_choice(dout, y)
    return dz, column_sums(dz, out)


@override(kernels.gelu_tanh_bias_grad, "cpu")
def gelu_tanh_bias_grad(dout: Array, z: Array, out: Array | None) -> tuple[Array, Array]:
    dz = activation.gelu_tanh_grad(dout, z)
    return dz, column_sums(dz, out)


@override(kernels.weight_and_bias_grad, "cpu")
def weight_and_bias_grad(dout: Array, x: Array, grad_buffers: tuple) -> tuple[Array, Array]:
    return product(dout.T, x, grad_buffers[0]), column_sums(dout, grad_buffers[1])


def _in_parts(part: Callable[[slice, slice], None], rows: int, inner: int, columns: int) -> None:
    """``part(rows, columns)`` for equal shares of the result's longer side."""
    everything = slice(0, rows), slice(0, columns)
    work = rows * inner * columns
    if work < MIN_WORK:
        with threads.single_blas() if work < MIN_SHARED else contextlib.nullcontext():
            part(*everything)
    elif rows >= columns:
        shares = threads.slices(rows, -(-rows // threads.budget()))
        threads.run(lambda share: part(share, everything[1]), shares, blas=True)
    else:
        shares = threads.slices(columns, -(-columns // threads.budget()))
        threads.run(lambda share: part(everything[0], share), shares, blas=True)
