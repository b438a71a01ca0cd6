"""Where in its sequence a vector stands: added to it (sinusoids), or as a turn of queries and keys (rotary)."""

import numpy as np

from dlcourse.autograd import Tensor, as_tensor
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.nn.module import Module
from dlcourse.nn.sizes import check_sizes
from dlcourse.ops.rotary import rotary_embedding

__all__ = ["PositionalEncoding", "RotaryEmbedding"]


class _Positions(Module):
    """Base: tables of angles a_ti = t / base^(2 i / dim), t < ``max_length``, i < dim / 2, which are no parameters."""

    def __init__(self, dim: int, max_length: int, base: float):
        super().__init__()
        name = type(self).__name__
        check_sizes(name, dim=dim, max_length=max_length)
        if dim < 2 or dim % 2 or max_length < 1 or not base > 0:
            raise ArgumentError(
                f"{name}: dim is even, max_length at least 1, base above 0; got {dim=}, {max_length=}, {base=}"
            )
        self.dim, self.max_length, self.base = dim, max_length, base

    def _angles(self) -> np.ndarray:
        return np.outer(np.arange(self.max_length), self.base ** (-np.arange(0, self.dim, 2) / self.dim))

    def _rows(self, x: Tensor, start: int) -> slice:
        """Those of the positions of x (..., T, dim), the first of which is ``start``."""
        name, shape = type(self).__name__, x.shape
        if len(shape) < 2 or shape[-1] != self.dim:
            raise ShapeError(f"{name}: expected x (..., T, {self.dim}), got {shape}")
        if start < 0 or start + shape[-2] > self.max_length:
            raise ShapeError(f"{name}: positions {start} to {start + shape[-2] - 1} are not below {self.max_length}")
        return slice(start, start + shape[-2])

    def extra_repr(self) -> str:
        return f"{self.dim}, max_length={self.max_length}, base={self.base:g}"


class PositionalEncoding(_Positions):
    """x + p, p_t = (sin a_t0, cos a_t0, sin a_t1, cos a_t1, ...), a_ti = t / base^(2 i / dim). (Vaswani et al. 2017.)

    Args:
        dim: width of the sequence, even.
        max_length: the longest sequence.
        base: 2 pi times it is nearly the longest wave.
    Example:
        >>> nn.PositionalEncoding(4)(dl.zeros(1, 2, 4)).numpy().round(2).tolist()
        [[[0.0, 1.0, 0.0, 1.0], [0.84, 0.54, 0.01, 1.0]]]
    """

    table: Tensor

    def __init__(self, dim: int, max_length: int = 5000, base: float = 10_000.0):
        super().__init__(dim, max_length, base)
        table = np.stack([np.sin(self._angles()), np.cos(self._angles())], axis=2).reshape(max_length, dim)
        self.register_buffer("table", Tensor(table.astype("float32")), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Of x (N, T, dim), whose first position is ``start``."""
        x = as_tensor(x)
        return x + self.table[self._rows(x, start)].to(dtype=x.dtype)


class RotaryEmbedding(_Positions):
    """The pairs (x_i, x_(i + dim/2)) of each position t turned by the angle t / base^(2 i / dim), so that the product
    of a query and a key depends on how far they are apart: see :func:`rotary_embedding`. (Su et al. 2021.)

    Args:
        dim: width of a head, even.
        max_length: the longest sequence.
        base: of the angles.
    Example:
        >>> rotary = nn.RotaryEmbedding(4)
        >>> attention = nn.MultiHeadAttention(dim=8, heads=2, causal=True, rotary=rotary)
        >>> attention(dl.zeros(1, 3, 8)).shape
        (1, 3, 8)
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, dim: int, max_length: int = 4096, base: float = 10_000.0):
        super().__init__(dim, max_length, base)
        for name, table in (("cos", np.cos(self._angles())), ("sin", np.sin(self._angles()))):
            self.register_buffer(name, Tensor(table.astype("float32")), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Of x (N, heads, T, dim), whose first position is ``start``."""
        x = as_tensor(x)
        rows = self._rows(x, start)
        return rotary_embedding(x, self.cos[rows], self.sin[rows])
