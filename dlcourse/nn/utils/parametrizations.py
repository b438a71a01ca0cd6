"""Weights of a given norm: weight normalization and spectral normalization, ``torch.nn.utils.parametrizations``."""

from dlcourse.autograd import Tensor, no_grad
from dlcourse.backend import random
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentError
from dlcourse.nn.conv import ConvTranspose1d, ConvTranspose2d
from dlcourse.nn.module import Module
from dlcourse.nn.utils.parametrize import current, register_parametrization

__all__ = ["spectral_norm", "weight_norm"]

FIRST_ITERATIONS = 15
"""Of the power method when the layer is made, as in PyTorch."""


class WeightNorm(Module):
    """w = g v / |v|, with a norm for each index along an axis, or one for all."""

    def __init__(self, dim: int | None):
        super().__init__()
        self.dim = dim

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        return v * (g / self._norm(v))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The norm and the weight itself."""
        return self._norm(weight), weight

    def _norm(self, v: Tensor) -> Tensor:
        if self.dim is None:
            return v.norm()
        others = tuple(axis for axis in range(v.ndim) if axis != self.dim % v.ndim)
        return v.norm(dim=others, keepdim=True) if others else v.abs()


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Have a weight's length and direction trained apart, w = g v / |v|; returns the module. (Salimans & Kingma 2016.)

    The parameters are then ``parametrizations.weight.original0`` (g) and ``original1`` (v), as PyTorch's. In
    ``nn.utils`` the same function stands for PyTorch's older one, whose parameters had other names.

    Args:
        module: a layer.
        name: of its parameter.
        dim: the axis of the weight, here (out, ..., in), along which each index has its norm; None for one norm of all.
    Raises:
        ArgumentError: the module has no such parameter, or that no such axis.
    Example:
        >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(20, 40))
        >>> layer.parametrizations.weight.original0.shape, layer.parametrizations.weight.original1.shape
        ((40, 1), (40, 20))
    """
    dim = None if dim == -1 else dim  # as PyTorch has it
    _with_axis("weight_norm", module, name, dim)
    return register_parametrization(module, name, WeightNorm(dim))


class SpectralNorm(Module):
    """w / s with s = u^T W v, the largest singular value of the matrix W that the weight is.

    u and v come from the power method, v <- W^T u / |W^T u|, u <- W v / |W v|, of which each call in training does
    some more iterations. They count as constants: with the gradient of w / s, ds = u v^T.
    """

    _u: Array
    _v: Array

    def __init__(self, weight: Tensor, n_power_iterations: int, eps: float, dim: int):
        super().__init__()
        self.n_power_iterations, self.eps, self.dim = n_power_iterations, eps, dim
        if weight.ndim > 1:
            with no_grad():
                matrix, rng = self._matrix(weight), random.next_generator("init/spectral_norm")
                for buffer, size in zip(("_u", "_v"), matrix.shape, strict=True):
                    self.register_buffer(buffer, None)
                    setattr(self, buffer, self._unit(matrix.new_zeros(size).copy_(rng.normal(size=size))).data)
                self._iterate(matrix, FIRST_ITERATIONS)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return self._unit(weight)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        # Copies, for the buffers change with the next iteration while the graph still needs these.
        u, v = (Tensor(array.copy()) for array in (self._u, self._v))
        return weight / (u @ (matrix.to(dtype=u.dtype) @ v)).to(dtype=weight.dtype)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The weight itself, which is not one of norm 1."""
        return weight

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).reshape(weight.shape[self.dim], -1)

    def _unit(self, x: Tensor) -> Tensor:
        return x / x.norm().clamp(min=self.eps)

    def _iterate(self, matrix: Tensor, times: int) -> None:
        with no_grad():
            u, v = Tensor(self._u), Tensor(self._v)
            matrix = matrix.detach().to(dtype=u.dtype)
            for _ in range(times):
                u = self._unit(matrix @ v)
                v = self._unit(matrix.T @ u)
            self._u[...], self._v[...] = u.data, v.data


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divide a layer's weight by its largest singular value, so that it lengthens no input; returns the module. (Miyato
    et al. 2018, for the discriminators of adversarial nets.)

    The parameter is then ``parametrizations.weight.original``, as PyTorch's. In ``nn.utils`` the same function stands
    for PyTorch's older one, whose parameter had another name.

    Args:
        module: a layer.
        name: of its parameter.
        n_power_iterations: of the power method in each forward pass of training.
        eps: the least norm that is divided by.
        dim: the axis of the outputs, which are the rows of the matrix; the last of a transposed convolution, else 0.
    Raises:
        ArgumentError: the module has no such parameter, or that no such axis; no iterations.
    Example:
        >>> layer = nn.utils.parametrizations.spectral_norm(nn.Linear(20, 40))
        >>> for _ in range(50):
        ...     _ = layer(dl.zeros(1, 20))
        >>> round(float(np.linalg.norm(layer.weight.detach().numpy(), 2)), 3)
        1.0
    """
    if not isinstance(n_power_iterations, int) or n_power_iterations < 1:
        raise ArgumentError(f"spectral_norm: n_power_iterations is at least 1, got {n_power_iterations!r}")
    if dim is None:
        dim = -1 if isinstance(module, ConvTranspose1d | ConvTranspose2d) else 0
    weight = _with_axis("spectral_norm", module, name, dim)
    return register_parametrization(module, name, SpectralNorm(weight, n_power_iterations, eps, dim))


def _with_axis(function: str, module: Module, name: str, dim: int | None) -> Tensor:
    """The weight.

    Raises:
        ArgumentError: there is none, or it has no such axis.
    """
    if not isinstance(module, Module):
        raise ArgumentError(f"{function}: expected a layer, got a {type(module).__name__}")
    weight = current(module, name)
    if dim is not None and not -weight.ndim <= dim < weight.ndim:
        raise ArgumentError(f"{function}: {name} of shape {weight.shape} has no axis {dim}")
    return weight
