"""PyTorch's ``linalg``, as ``dl.linalg``: norms, inverses, determinants and decompositions of matrices (..., N, M)."""

import math
from functools import reduce
from typing import Any, NamedTuple

from dlcourse.autograd import axes, decompositions, linalg
from dlcourse.autograd.base import apply, new
from dlcourse.autograd.creation import as_tensor, paired_tensors
from dlcourse.autograd.tensor import Tensor
from dlcourse.backend import array_module
from dlcourse.errors import ArgumentError, ShapeError

# fmt: off
__all__ = [
    "cholesky", "cond", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "lstsq", "matrix_norm", "matrix_power",
    "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "vecdot", "vector_norm",
]
# fmt: on


class SlogDet(NamedTuple):
    """The sign of a determinant, and the logarithm of its size."""

    sign: Tensor
    logabsdet: Tensor


class Eigen(NamedTuple):
    """Eigenvalues in ascending order, and their vectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVD(NamedTuple):
    """A = U diag(S) Vh."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class QR(NamedTuple):
    """A = Q R."""

    Q: Tensor
    R: Tensor


class Solution(NamedTuple):
    """The solution of a least-squares problem."""

    solution: Tensor


def inv(A: Any) -> Tensor:
    """The inverse A^-1; ArgumentError where there is none. ``solve(A, b)`` is better than ``inv(A) @ b``."""
    return apply(decompositions.Inverse(), as_tensor(A))


def det(A: Any) -> Tensor:
    """The determinant; its gradient is right for a singular A too."""
    return apply(decompositions.Det(), as_tensor(A))


def slogdet(A: Any) -> SlogDet:
    """The sign of the determinant and the logarithm of its size, which does not overflow."""
    return SlogDet(*apply(decompositions.SlogDet(), as_tensor(A)))


def solve(A: Any, B: Any) -> Tensor:
    """X with A X = B, of vectors (..., N) or matrices (..., N, K); never forms an inverse."""
    a, b = paired_tensors(A, B)
    if b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]):
        return apply(linalg.Solve(), a, b.unsqueeze(-1)).squeeze(-1)
    return apply(linalg.Solve(), a, b)


def cholesky(A: Any, *, upper: bool = False) -> Tensor:
    """L lower triangular with L L^T = A, or L^T; ArgumentError where A is not positive definite."""
    lower = apply(decompositions.Cholesky(), as_tensor(A))
    return lower.mT if upper else lower


def eigh(A: Any, UPLO: str = "L") -> Eigen:
    """Eigenvalues and eigenvectors of a symmetric A, of which one triangle is read.

    The sign of an eigenvector is free: what is computed from them should not depend on it.
    """
    if UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f"eigh: UPLO is 'L' or 'U', got {UPLO!r}")
    a = as_tensor(A)
    return Eigen(*apply(decompositions.Eigh(), a if UPLO.upper() == "L" else a.mT))


def eigvalsh(A: Any, UPLO: str = "L") -> Tensor:
    """The eigenvalues of a symmetric A, ascending."""
    return eigh(A, UPLO).eigenvalues


def svd(A: Any, full_matrices: bool = True) -> SVD:
    """U, S and Vh with A = U diag(S) Vh of (..., N, M), S descending.

    The signs of the columns of U and V are free: what is computed from them should not depend on them.

    Args:
        full_matrices: U (..., N, N) and Vh (..., M, M), which has a gradient of square matrices alone; False for
            min(N, M) columns of each.
    """
    return SVD(*apply(decompositions.SVD(full_matrices), as_tensor(A)))


def svdvals(A: Any) -> Tensor:
    """The singular values, descending."""
    return svd(A, False).S


def qr(A: Any) -> QR:
    """Q with orthonormal columns and R upper triangular with A = Q R, of (..., N, M) with min(N, M) columns of Q."""
    return QR(*apply(decompositions.QR(), as_tensor(A)))


def pinv(A: Any, *, rtol: float | None = None) -> Tensor:
    """The pseudo-inverse, of the singular values above ``rtol`` times the largest, if left out what rounding makes."""
    return apply(decompositions.PseudoInverse(rtol), as_tensor(A))


def lstsq(A: Any, B: Any) -> Solution:
    """The X, smallest of many, that minimizes |A X - B|: ``lstsq(A, B).solution``."""
    a, b = paired_tensors(A, B)
    vector = b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1])
    return Solution((pinv(a) @ b.unsqueeze(-1)).squeeze(-1) if vector else pinv(a) @ b)


def matrix_power(A: Any, n: int) -> Tensor:
    """A multiplied n times with itself, its inverse where n is negative."""
    a = as_tensor(A)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ShapeError(f"matrix_power: expected square matrices, got shape {a.shape}")
    if n < 0:
        return matrix_power(inv(a), -n)
    xp = array_module(a.data)
    if not n:
        return new(xp.broadcast_to(xp.eye(a.shape[-1], dtype=a.dtype), a.shape).copy()) + 0 * a
    half = matrix_power(a, n // 2) if n > 1 else a
    return a if n == 1 else half @ half @ a if n % 2 else half @ half


def multi_dot(tensors: Any) -> Tensor:
    """The product of several matrices, from left to right; the first and the last may be vectors."""
    several = [as_tensor(one) for one in tensors]
    if len(several) < 2:
        raise ShapeError(f"multi_dot: expected at least two matrices, got {len(several)}")
    return reduce(lambda a, b: a @ b, several)


def matrix_rank(A: Any, *, atol: Any = None, rtol: Any = None) -> Tensor:
    """How many singular values are above ``atol`` and above ``rtol`` times the largest; the latter, if both are left
    out, is what rounding makes. Each is a number or a tensor of one for each matrix."""
    a = as_tensor(A).detach()
    s = svdvals(a).data
    xp = array_module(s)
    if rtol is None:
        rtol = max(a.shape[-2:]) * float(xp.finfo(s.dtype).eps) if atol is None else 0.0
    least, share = (as_tensor(one, like=a).data[..., None] for one in (0.0 if atol is None else atol, rtol))
    largest = s.max(axis=-1, keepdims=True) if s.size else s
    return new(xp.asarray((s > xp.maximum(least, share * largest)).sum(axis=-1)))


def cond(A: Any, p: Any = None) -> Tensor:
    """The condition number |A| |A^-1|, without p the largest singular value over the smallest."""
    if p in (None, 2, -2):
        s = svdvals(A)
        largest, smallest = s[..., 0], s[..., -1]
        return smallest / largest if p == -2 else largest / smallest
    return matrix_norm(A, p) * matrix_norm(inv(A), p)


def vector_norm(x: Any, ord: float = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The ord-norm of the elements along axes, of all without any; see ``x.norm``."""
    if isinstance(ord, str):
        raise ArgumentError(f"vector_norm: ord is a number, got {ord!r}")
    return as_tensor(x).norm(ord, dim, keepdim)


def matrix_norm(A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """A norm of matrices: "fro", the root of all squares; "nuc", 2 and -2, the sum, largest and smallest of the
    singular values; 1 and -1, inf and -inf, the largest and smallest sum of absolute values of a column, of a row.

    Raises:
        ArgumentError: ord is none of these.
        ShapeError: there are not two axes.
    """
    a = as_tensor(A)
    if a.ndim < 2 or not isinstance(dim, tuple | list) or len(dim) != 2:
        raise ShapeError(f"matrix_norm: expected two axes of a tensor of shape {a.shape}, got {dim!r}")
    rows, columns = (axes.single("matrix_norm", a.shape, one) for one in dim)
    if ord in ("fro", None):
        return a.norm(2, (rows, columns), keepdim)
    if ord in ("nuc", 2, -2):
        s = svdvals(a.movedim((rows, columns), (-2, -1)))
        found = s.sum(-1) if ord == "nuc" else s.amax(-1) if ord == 2 else s.amin(-1)
        return (
            found.reshape(tuple(1 if i in (rows, columns) else n for i, n in enumerate(a.shape))) if keepdim else found
        )
    if isinstance(ord, str) or abs(ord) not in (1, math.inf):
        raise ArgumentError(f"matrix_norm: ord is 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}")
    summed, chosen = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = a.abs().sum(summed, keepdims=True)
    found = sums.amax(chosen, True) if ord > 0 else sums.amin(chosen, True)
    return found if keepdim else found.squeeze((rows, columns))


def norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False) -> Tensor:
    """:func:`matrix_norm` along two axes, or of a matrix with an ``ord``; else :func:`vector_norm`."""
    a = as_tensor(A)
    if (isinstance(dim, tuple | list) and len(dim) == 2 and ord is not None) or isinstance(ord, str):
        return matrix_norm(a, ord, (-2, -1) if dim is None else dim, keepdim)
    if dim is None and ord is not None and a.ndim == 2:
        return matrix_norm(a, ord, (0, 1), keepdim)
    if dim is None and ord is not None and a.ndim != 1:
        raise ShapeError(f"norm: expected a vector or a matrix where ord is given without dim, got shape {a.shape}")
    return vector_norm(a, 2 if ord is None else ord, dim, keepdim)


def cross(input: Any, other: Any, *, dim: int = -1) -> Tensor:
    """The vector product of vectors of three elements along an axis."""
    return as_tensor(input).cross(other, dim)


def diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices, as the last axis."""
    return as_tensor(A).diagonal(offset, dim1, dim2)


def vecdot(x: Any, y: Any, *, dim: int = -1) -> Tensor:
    """The sum of the products of two along an axis."""
    a, b = paired_tensors(x, y)
    return (a * b).sum(dim)
