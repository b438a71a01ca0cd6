"""Matrix products of the affine map and its gradients, alone and with the activation that follows it.

What is made of other kernels says so: its reference calls them, so a device needs an override only where it does both
in one pass.
"""

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import activation, kernel


@kernel
def affine(x: Array, weight: Array, bias: Array | None) -> Array:
    """y (M, O) = x W^T + b of x (M, I), W (O, I), b (O,)."""
    y = x @ weight.T
    if bias is not None:
        y += bias
    return y


@kernel(writes=("out",))
def product(a: Array, b: Array, out: Array | None) -> Array:
    """a b (M, N) of a (M, K) and b (K, N), either of them transposed views; into ``out`` where one is given."""
    return array_module(a).matmul(a, b, out=out)


@kernel
def matmul(a: Array, b: Array) -> Array:
    """a b over the last two axes, the others broadcast, as ``numpy.matmul``."""
    return a @ b


@kernel(writes=("out",))
def column_sums(x: Array, out: Array | None) -> Array:
    """The sum of x (M, N) over its rows, (N,); into ``out`` where one is given."""
    return x.sum(axis=0, out=out)


@kernel
def affine_relu(x: Array, weight: Array, bias: Array) -> Array:
    """y = max(x W^T + b, 0), as :func:`affine`."""
    return activation.relu(affine(x, weight, bias))


@kernel
def affine_gelu_tanh(x: Array, weight: Array, bias: Array) -> tuple[Array, Array]:
    """GELU(z) in its tanh form and z = x W^T + b, each (M, O), as :func:`affine`."""
    z = affine(x, weight, bias)
    return activation.gelu_tanh(z), z


@kernel(writes=("out",))
def relu_bias_grad(dout: Array, y: Array, out: Array | None) -> tuple[Array, Array]:
    """dz = dy where y > 0, else 0, and its sum over the rows: (M, O) and (O,); the sum into ``out`` if given."""
    dz = activation.relu_grad(dout, y)
    return dz, column_sums(dz, out)


@kernel(writes=("out",))
def gelu_tanh_bias_grad(dout: Array, z: Array, out: Array | None) -> tuple[Array, Array]:
    """dz = dy GELU'(z) of the tanh form, and its sum over the rows: (M, O) and (O,); the sum into ``out`` if given."""
    dz = activation.gelu_tanh_grad(dout, z)
    return dz, column_sums(dz, out)


@kernel(writes=("grad_buffers",))
def weight_and_bias_grad(dout: Array, x: Array, grad_buffers: tuple) -> tuple[Array, Array]:
    """dW = dy^T x (O, I) of dy (M, O) and x (M, I), and db, the sum of dy over its rows.

    Args:
        grad_buffers: an array or None for each of the two, where it is to be written.
    """
    return product(dout.T, x, grad_buffers[0]), column_sums(dout, grad_buffers[1])
