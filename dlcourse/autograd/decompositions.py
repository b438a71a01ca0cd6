"""Inverses, determinants and decompositions of matrices (..., N, N) with their gradients.

The gradients are Giles's ("Collected matrix derivative results for forward and reverse mode algorithmic
differentiation", 2008); where two eigenvalues or singular values are equal, those of their vectors are not there.
"""

from typing import Any

import numpy as np

from dlcourse.autograd.function import Function, xp_of
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentError, ShapeError


class Matrices(Function):
    """What functions of matrices share."""

    compute_in_float32 = True
    fractional = True

    def call(self, function: str, a: Array, **options: Any) -> Any:
        """NumPy's or CuPy's function of that name.

        Raises:
            ShapeError: a holds no matrices.
            ArgumentError: it has no such result.
        """
        if a.ndim < 2:
            raise ShapeError(f"{function}: expected matrices (..., N, M), got shape {a.shape}")
        if function not in ("svd", "qr") and a.shape[-1] != a.shape[-2]:
            raise ShapeError(f"{function}: expected square matrices (..., N, N), got shape {a.shape}")
        try:
            return getattr(xp_of(a).linalg, function)(a, **options)
        except np.linalg.LinAlgError as error:
            raise ArgumentError(f"{function}: {str(error).lower()}, of matrices of shape {a.shape}") from error


class Inverse(Matrices):
    """Y = A^-1; dA = -Y^T dY Y^T.

    Raises:
        ArgumentError: A is singular (on the CPU, where asking is free).
    """

    def forward(self, a: Array) -> Array:
        self.y = self.call("inv", a)
        return self.y

    def backward(self, dout: Array) -> Array:
        turned = self.y.swapaxes(-1, -2)
        return -turned @ dout @ turned


class Det(Matrices):
    """y = det A; dA = dy times the cofactors, det(U) det(V) U diag(prod_(j != i) s_j) V^T of A = U S V^T, which are
    there for a singular A too."""

    def forward(self, a: Array) -> Array:
        self.a = a
        return xp_of(a).asarray(self.call("det", a))

    def backward(self, dout: Array) -> Array:
        xp, n = xp_of(dout), self.a.shape[-1]
        u, s, vt = self.call("svd", self.a, full_matrices=False)
        others = xp.where(xp.eye(n, dtype=bool), 1, s[..., None, :]).astype(s.dtype).prod(axis=-1)
        sign = xp.linalg.det(u) * xp.linalg.det(vt)
        return (dout * sign)[..., None, None] * ((u * others[..., None, :]) @ vt)


class SlogDet(Matrices):
    """s, y = the sign of det A, and log |det A|; dA = dy A^-T."""

    def forward(self, a: Array) -> tuple:
        xp = xp_of(a)
        self.a = a
        sign, logarithm = self.call("slogdet", a)
        return xp.asarray(sign), xp.asarray(logarithm).astype(a.dtype)

    def backward(self, dsign: Array | None, dout: Array | None) -> Array:
        if dout is None:
            return xp_of(self.a).zeros_like(self.a)
        return dout[..., None, None] * xp_of(dout).linalg.inv(self.a).swapaxes(-1, -2)


class Cholesky(Matrices):
    """L lower triangular with L L^T = A; dA = (S + S^T) / 2, S = L^-T P(L^T dL) L^-1, where P takes the lower triangle
    and half the diagonal.

    Raises:
        ArgumentError: A is not positive definite (on the CPU, where asking is free).
    """

    def forward(self, a: Array) -> Array:
        self.y = self.call("cholesky", a)
        return self.y

    def backward(self, dout: Array) -> Array:
        xp, n = xp_of(dout), dout.shape[-1]
        weights = xp.tril(xp.ones((n, n), dtype=dout.dtype)) - 0.5 * xp.eye(n, dtype=dout.dtype)
        inverse = xp.linalg.inv(self.y)
        turned = self.y.swapaxes(-1, -2)
        s = inverse.swapaxes(-1, -2) @ ((turned @ dout) * weights) @ inverse
        return 0.5 * (s + s.swapaxes(-1, -2))


class Eigh(Matrices):
    """w, V with A = V diag(w) V^T of a symmetric A (its lower triangle is read), w ascending;
    dA = V (diag(dw) + (V^T dV) / E) V^T, E_ij = w_j - w_i."""

    def forward(self, a: Array) -> tuple:
        self.w, self.v = self.call("eigh", a)
        return self.w, self.v

    def backward(self, dw: Array | None, dv: Array | None) -> Array:
        xp, v = xp_of(self.v), self.v
        turned, eye = v.swapaxes(-1, -2), xp.eye(v.shape[-1], dtype=v.dtype)
        inner = eye * (0 if dw is None else dw[..., None, :])
        if dv is not None:
            gaps = self.w[..., None, :] - self.w[..., :, None]
            inner = inner + xp.where(eye > 0, 0, turned @ dv / xp.where(eye > 0, 1, gaps)).astype(v.dtype)
        return v @ inner @ turned


class SVD(Matrices):
    """U, s, V^T with A = U diag(s) V^T of (..., N, M), K = min(N, M) columns of U and V, s descending; dA = U G V^T and
    what is outside, (1 - U U^T) dU S^-1 V^T + U S^-1 dV^T (1 - V V^T), with G = diag(ds) + (U^T dU - dU^T U) / E S +
    S (V^T dV - dV^T V) / E, E_ij = s_j^2 - s_i^2."""

    def __init__(self, full_matrices: bool = False):
        self.full = full_matrices

    def forward(self, a: Array) -> tuple:
        if self.full and a.ndim >= 2 and a.shape[-1] != a.shape[-2] and self.wants_grad():
            raise ShapeError(f"svd: all columns of U and V of {a.shape} have no gradient: write full_matrices=False")
        self.u, self.s, self.vt = self.call("svd", a, full_matrices=self.full)
        return self.u, self.s, self.vt

    def backward(self, du: Array | None, ds: Array | None, dvt: Array | None) -> Array:
        xp, u, s, vt = xp_of(self.u), self.u, self.s, self.vt
        eye = xp.eye(s.shape[-1], dtype=s.dtype)
        gaps = xp.where(eye > 0, 1, s[..., None, :] ** 2 - s[..., :, None] ** 2)

        def turned(x: Array) -> Array:
            return x.swapaxes(-1, -2)

        def spin(x: Array) -> Array:
            return xp.where(eye > 0, 0, (x - turned(x)) / gaps).astype(s.dtype)

        inner = eye * (0 if ds is None else ds[..., None, :])
        outside = xp.zeros_like(u @ vt)
        if du is not None:
            inner = inner + spin(turned(u) @ du) * s[..., None, :]
            scaled = du / s[..., None, :]
            outside = outside + (scaled - u @ (turned(u) @ scaled)) @ vt
        if dvt is not None:
            inner = inner + s[..., :, None] * spin(vt @ turned(dvt))
            scaled = dvt / s[..., :, None]
            outside = outside + u @ (scaled - (scaled @ turned(vt)) @ vt)
        return u @ inner @ vt + outside


class QR(Matrices):
    """Q, R with A = Q R of (..., N, M), N >= M; dA = (dQ + Q C(R dR^T - dQ^T Q)) R^-T, where C copies the lower
    triangle to the upper."""

    def forward(self, a: Array) -> tuple:
        if a.ndim >= 2 and a.shape[-2] < a.shape[-1] and self.wants_grad():
            raise ShapeError(f"qr: the gradient is there for at least as many rows as columns, got shape {a.shape}")
        self.q, self.r = self.call("qr", a)
        return self.q, self.r

    def backward(self, dq: Array | None, dr: Array | None) -> Array:
        xp = xp_of(self.q)
        dq, dr = (xp.zeros_like(y) if d is None else d for d, y in ((dq, self.q), (dr, self.r)))
        m = self.r @ dr.swapaxes(-1, -2) - dq.swapaxes(-1, -2) @ self.q
        both = xp.tril(m) + xp.tril(m, -1).swapaxes(-1, -2)
        return xp.linalg.solve(self.r, (dq + self.q @ both).swapaxes(-1, -2)).swapaxes(-1, -2)


class PseudoInverse(Matrices):
    """P = A^+, of singular values above rtol times the largest; dA = -P^T dP P^T + (1 - A P) dP^T P P^T +
    P^T P dP^T (1 - P A) (Golub & Pereyra 1973)."""

    def __init__(self, rtol: float | None):
        self.rtol = rtol

    def forward(self, a: Array) -> Array:
        xp = xp_of(a)
        u, s, vt = self.call("svd", a, full_matrices=False)
        rtol = max(a.shape[-2:]) * float(np.finfo(a.dtype).eps) if self.rtol is None else self.rtol
        kept = s > rtol * s.max(axis=-1, keepdims=True) if s.size else s > 0
        inverse = xp.where(kept, 1 / xp.where(kept, s, 1), 0).astype(a.dtype)
        self.a, self.p = a, (vt.swapaxes(-1, -2) * inverse[..., None, :]) @ u.swapaxes(-1, -2)
        return self.p

    def backward(self, dout: Array) -> Array:
        a, p = self.a, self.p
        pt, gt = p.swapaxes(-1, -2), dout.swapaxes(-1, -2)
        left, right = gt @ p @ pt, pt @ p @ gt
        return -pt @ dout @ pt + left - a @ (p @ left) + right - (right @ p) @ a
