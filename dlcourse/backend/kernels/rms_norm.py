"""Division of rows by their root mean square, with the gradient written out."""

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.grad_buffers import copy_into


@kernel(float32_outputs=(1,))
def rms_norm(x: Array, weight: Array, eps: float) -> tuple[Array, Array]:
    """y = w x / sqrt(mean(x^2) + eps) for each row of x (M, D): y, and 1 / sqrt(mean(x^2) + eps) (M, 1)."""
    xp = array_module(x)
    inverse = 1 / xp.sqrt((x * x).mean(axis=1, keepdims=True) + eps)
    return x * inverse * weight, inverse


@kernel(writes=("out",))
def rms_norm_grad(dout: Array, x: Array, weight: Array, inverse: Array, out: Array | None) -> tuple[Array, Array]:
    """dx (M, D) and dw (D,), the latter into ``out`` if given. With xhat = x inverse and g = dy w,
    dx = inverse (g - xhat mean(g xhat)), dw = sum over rows of dy xhat."""
    xhat, g = x * inverse, dout * weight
    dx = inverse * (g - xhat * (g * xhat).mean(axis=1, keepdims=True))
    return dx, copy_into((dout * xhat).sum(axis=0), out)
