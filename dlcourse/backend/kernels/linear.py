"""Matrix products of the affine map and its gradients."""

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel


@kernel
def affine(x: Array, weight: Array, bias: Array | None) -> Array:
    """y (M, O) = x W^T + b of x (M, I), W (O, I), b (O,)."""
    y = x @ weight.T
    if bias is not None:
        y += bias
    return y


@kernel
def product(a: Array, b: Array, out: Array | None) -> Array:
    """a b (M, N) of a (M, K) and b (K, N), either of them transposed views; into ``out`` where one is given."""
    return array_module(a).matmul(a, b, out=out)


@kernel
def matmul(a: Array, b: Array) -> Array:
    """a b over the last two axes, the others broadcast, as ``numpy.matmul``."""
    return a @ b


@kernel
def column_sums(x: Array, out: Array | None) -> Array:
    """The sum of x (M, N) over its rows, (N,); into ``out`` where one is given."""
    return x.sum(axis=0, out=out)
