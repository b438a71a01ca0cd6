"""The matrix product, and the scalar functions of a matrix whose gradients lecture 2 derives."""

from dlcourse.autograd.function import Function, unbroadcast, xp_of
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.linear import matmul
from dlcourse.errors import ShapeError


class MatMul(Function):
    """Y = A B over the last two axes, the others broadcast; dA = dY B^T, dB = A^T dY. A vector is a row on the left and
    a column on the right, as in NumPy.

    Raises:
        ShapeError: the inner sizes differ.
    """

    def forward(self, a: Array, b: Array) -> Array:
        inner = b.shape[-2] if b.ndim > 1 else b.shape[0] if b.ndim else None
        if a.ndim == 0 or inner is None or a.shape[-1] != inner:
            raise ShapeError(f"matmul: the last axis of {a.shape} has to match the second to last of {b.shape}")
        self.shapes = a.shape, b.shape
        self.a: Array = a if self.needs_input_grad[1] else None  # no more than the gradients need
        self.b: Array = b if self.needs_input_grad[0] else None
        return matmul(a, b)

    def backward(self, dout: Array) -> tuple:
        a_shape, b_shape = self.shapes
        dy = dout  # as the product of two matrices: give back the axes that vectors took away
        if len(a_shape) == 1:
            dy = dy[..., None, :] if len(b_shape) > 1 else dy[None]
        if len(b_shape) == 1:
            dy = dy[..., None]
        da = db = None
        if self.needs_input_grad[0]:
            b = self.b if len(b_shape) > 1 else self.b[:, None]
            da = unbroadcast(matmul(dy, b.swapaxes(-1, -2)), a_shape if len(a_shape) > 1 else (1, *a_shape))
            da = da.reshape(a_shape)
        if self.needs_input_grad[1]:
            a = self.a if len(a_shape) > 1 else self.a[None, :]
            db = unbroadcast(matmul(a.swapaxes(-1, -2), dy), b_shape if len(b_shape) > 1 else (*b_shape, 1))
            db = db.reshape(b_shape)
        return da, db


class Trace(Function):
    """y = tr A = sum_i A_ii of a matrix; dA = dy I."""

    compute_in_float32 = True

    def forward(self, a: Array) -> Array:
        if a.ndim != 2:
            raise ShapeError(f"trace: expected a matrix (N, M), got {a.shape}")
        self.shape = a.shape
        return xp_of(a).trace(a)

    def backward(self, dout: Array) -> Array:
        return dout * xp_of(dout).eye(*self.shape, dtype=dout.dtype)


class LogDet(Function):
    """y = log det A of a square matrix with a positive determinant; dA = dy A^-T.

    The identity d log|S| / dS = S^-T is lecture 2's, for the maximum-likelihood covariance.

    Raises:
        ValueError: the determinant is not positive.
    """

    compute_in_float32 = True

    def forward(self, a: Array) -> Array:
        _check_square("logdet", a)
        xp = xp_of(a)
        sign, log_absolute = xp.linalg.slogdet(a)
        if not float(sign) > 0:
            raise ValueError("logdet: the determinant is not positive")
        self.a = a
        return xp.asarray(log_absolute, dtype=a.dtype)

    def backward(self, dout: Array) -> Array:
        xp = xp_of(dout)
        return dout * xp.linalg.solve(self.a.T, xp.eye(self.a.shape[0], dtype=dout.dtype))


class Solve(Function):
    """X = A^-1 B for square matrices A (..., N, N) and matrices B (..., N, K); dB = A^-T dX, dA = -dB X^T."""

    compute_in_float32 = True

    def forward(self, a: Array, b: Array) -> Array:
        if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
            raise ShapeError(f"solve: expected square matrices (..., N, N), got {a.shape}")
        if b.ndim < 2 or b.shape[-2] != a.shape[-1]:
            raise ShapeError(f"solve: expected b of shape ({a.shape[-1]}, K) for a {a.shape}, got {b.shape}")
        self.shapes, self.a = (a.shape, b.shape), a
        self.x = xp_of(a).linalg.solve(a, b)
        return self.x

    def backward(self, dout: Array) -> tuple:
        db = xp_of(dout).linalg.solve(self.a.swapaxes(-1, -2), dout)
        da = unbroadcast(-db @ self.x.swapaxes(-1, -2), self.shapes[0]) if self.needs_input_grad[0] else None
        return da, unbroadcast(db, self.shapes[1])


def _check_square(name: str, a: Array) -> None:
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise ShapeError(f"{name}: expected a square matrix (N, N), got {a.shape}")
