"""Matrix products in parts, one for each thread, OpenBLAS at one thread in each.

OpenBLAS's own threads reach the same speed on a quiet machine (185 against 190 GF/s), but they spin: on a busy one a
product then waits for whole time slices (ten times slower with three processes on two cores), and after each product
they take the core from what comes next. Parts that sleep until they are needed do not.
"""

import contextlib
from collections.abc import Callable

import numpy as np

from dlcourse.backend.cpu import threads
from dlcourse.backend.cpu.sums import row_sums
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import linear as kernels
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels.grad_buffers import copy_into

MIN_WORK = 1 << 23
"""Multiplications from which the pool's round trip of 0.05 ms is worth it. Somewhat smaller products go to OpenBLAS's
threads, which are quicker to start (200 x 3072 x 10: 0.15 ms on two, 0.27 on one, 0.33 in parts)."""
MIN_SHARED = 1 << 21
"""Multiplications below which one thread is enough, and waking others would only leave them spinning."""


@override(kernels.affine, "cpu")
def affine(x: Array, weight: Array, bias: Array | None) -> Array:
    y = np.empty((len(x), len(weight)), dtype=np.result_type(x, weight))

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

    def part(rows: slice, columns: slice) -> None:
        np.matmul(a[rows], b[:, columns], out=out[rows, columns])

    _in_parts(part, len(a), a.shape[1], b.shape[1])
    return out


@override(kernels.column_sums, "cpu")
def column_sums(x: Array, out: Array | None) -> Array:
    return copy_into(row_sums(x), out)


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
