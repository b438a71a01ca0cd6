"""Penalties on the size of the weights."""

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel


@kernel
def add_penalty(grad: Array, weight: Array, mask: Array, l1: float, l2: float) -> Array:
    """Add the gradient of R = l1 sum m |w| + l2/2 sum m w^2 to ``grad``, in place; returns R.

    Args:
        grad, weight, mask: (P,); the mask is 1 where a weight counts and 0 where it does not.
    """
    xp = array_module(grad)
    chosen = weight * mask
    value = xp.zeros((), dtype=weight.dtype)
    if l1:
        grad += l1 * xp.sign(chosen)
        value = value + l1 * abs(chosen).sum()
    if l2:
        grad += l2 * chosen
        value = value + 0.5 * l2 * xp.dot(chosen, chosen)
    return xp.asarray(value, dtype=weight.dtype)
