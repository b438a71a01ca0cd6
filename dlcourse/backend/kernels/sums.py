"""Sums over axes, to the accuracy of sums of pairs: the error does not grow with the number of elements."""

from dlcourse.backend.device import Array
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.cast import astype
from dlcourse.backend.kernels.linear import matmul
from dlcourse.backend.precision import accumulation_dtype


@kernel(half=True)
def sum_over(x: Array, axes: tuple[int, ...]) -> Array:
    """The sum of floating-point numbers over axes, which stay with length 1; 16 bits are added up in float32.

    Args:
        axes: counted from 0.
    """
    return astype(x.sum(axis=axes, keepdims=True, dtype=accumulation_dtype(x.dtype)), x.dtype)


@kernel
def sum_of_squares(x: Array) -> Array:
    """sum x_i^2 of all elements, without axes."""
    flat = x.reshape(-1)
    return matmul(flat[None, :], flat[:, None]).reshape(())
