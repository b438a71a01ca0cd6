"""Products of many replicas, a few of them at a time in each thread; sums of products without an array of these.

Where one operand is the same for all and the others are narrow, as the batch and the weights of ten classes, some of
these are joined to one matrix: a product of 200 x 3072 x 10 is bound by packing the batch anew for each. Measured on
one core (Zen 4, 64 of these): 18.6 ms one by one, 9.4 ms joined; from 100 columns on both take the same.
"""

import numpy as np

from dlcourse.backend.cpu import threads
from dlcourse.backend.cpu.memory import scratch
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import replicas as kernels

NARROW = 64
"""Rows or columns up to which replicas are joined."""
JOINED = 320
"""How many rows or columns are joined at most."""
MIN_WORK = 1 << 21
"""Multiplications of one replica from which each product is a thread's own share."""


@override(kernels.product_each, "cpu")
def product_each(a: Array, b: Array, out: Array | None) -> Array:
    count, (rows, inner), columns = max(len(a), len(b)), a.shape[1:], b.shape[2]
    if out is None:
        out = np.empty((count, rows, columns), dtype=np.result_type(a, b))
    narrow = rows if len(b) == 1 else columns if len(a) == 1 else NARROW + 1
    join = count > 1 and narrow <= NARROW and a.dtype == b.dtype == out.dtype
    size = max(1, JOINED // max(1, narrow)) if join else max(1, -(-MIN_WORK // max(1, rows * inner * columns)))

    def part(chosen: slice) -> None:
        if join and len(b) == 1:
            _join_rows(a[chosen], b[0], out[chosen])
        elif join:  # the transposed product, of the same kind
            _join_rows(b[chosen].transpose(0, 2, 1), a[0].T, out[chosen].transpose(0, 2, 1))
        else:
            of_a, of_b = (each if len(each) == 1 else each[chosen] for each in (a, b))
            np.matmul(of_a, of_b, out=out[chosen])

    threads.run(part, threads.slices(count, size), blas=True)
    return out


def _join_rows(a: Array, b: Array, out: Array) -> None:
    """out (R, M, N) = a b of a (R, M, K) and b (K, N) by one product."""
    count, rows, inner = a.shape
    joined = scratch("replicas-rows", (count * rows, inner), a.dtype)
    joined.reshape(a.shape)[...] = a
    if out.flags.c_contiguous:
        np.matmul(joined, b, out=out.reshape(count * rows, -1))
        return
    product = scratch("replicas-product", (count * rows, out.shape[2]), out.dtype)
    np.matmul(joined, b, out=product)
    out[...] = product.reshape(out.shape)


@override(kernels.summed_products, "cpu")
def summed_products(a: Array, b: Array, axis: int) -> Array:
    found: Array = np.einsum("rmc,rmc->rc" if axis == 1 else "rmc,rmc->rm", a, b)
    return found
