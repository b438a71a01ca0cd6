"""Products and sums of many replicas of a model at once."""

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel


@kernel(writes=("out",))
def product_each(a: Array, b: Array, out: Array | None) -> Array:
    """a b (R, M, N) of a (R, M, K) and b (R, K, N), either of them (1, ...) for all; into ``out`` if given."""
    return array_module(a).matmul(a, b, out=out)


@kernel
def summed_products(a: Array, b: Array, axis: int) -> Array:
    """sum a b of (R, M, C) along axis 1 or 2, which goes."""
    return (a * b).sum(axis=axis)
