"""Least squares by QR or singular values, on either array library; never by an inverse or the normal equations."""

import warnings
from typing import Literal

import numpy as np

from dlcourse.backend.device import Array, array_module
from dlcourse.errors import ShapeError

_COMPARABLE = 2.0**20
"""Columns whose sizes differ by more are not compared: the smallest solution is then that of the scaled columns, as in
their own units rounding in the largest coefficient would cover the others."""


class RankDeficientWarning(UserWarning):
    """A least-squares problem has many solutions; the one with the smallest norm was taken."""


def least_squares(
    design: Array,
    targets: Array,
    ridge: float = 0.0,
    penalized: Array | None = None,
    method: Literal["qr", "svd"] = "qr",
    rtol: float | None = None,
) -> Array:
    """The theta that minimizes 1/2 |X theta - Y|^2 + ridge/2 sum over penalized rows of |theta_p|^2.

    It solves (X^T X + ridge M) theta = X^T Y, M diagonal with ones where penalized, without forming X^T X, whose
    condition is the square of X's:

    - ``qr``: X = Q R, R theta = Q^T Y; with a penalty for X with the rows sqrt(ridge) M and Y with zeros below.
      Where R shows that columns depend on each other, ``svd`` takes over.
      A column depends on those before it where they leave no more of it than rounding does, whatever its unit.
    - ``svd``: X = U S V^T, theta = V f(S) U^T Y with f(s) = 1/s, 0 for singular values that rounding may have made,
      so of many solutions the smallest. The columns are scaled to a common size first, so that the unit of a column
      does not decide whether it counts; the solution is the smallest in the columns' own units all the same
      (if these are comparable). With a
      penalty f(s) = s / (s^2 + ridge), after columns that are not penalized are projected out.

    All in float64. (Lecture 2; Golub & Van Loan, Matrix Computations, chapter 5.)

    Args:
        design: X, (N, P).
        targets: Y, (N, K).
        ridge: at least 0.
        penalized: booleans (P,); all columns without it.
        rtol: the share of the largest singular value up to which one counts as zero; by default what rounding in
            float64 can make, max(N, P) eps.
    Returns:
        theta, (P, K), float64.
    Warns:
        RankDeficientWarning: there are many solutions.
    Raises:
        ShapeError: the shapes do not fit, or there is no row.
    """
    if design.ndim != 2 or targets.ndim != 2 or len(design) != len(targets) or not len(design):
        raise ShapeError(f"least squares: expected X (N, P) and Y (N, K), N >= 1, got {design.shape}, {targets.shape}")
    x, y = design.astype(np.float64, copy=False), targets.astype(np.float64, copy=False)
    chosen = np.ones(x.shape[1], dtype=bool) if penalized is None else np.asarray(penalized, dtype=bool)
    rtol = _tolerance(x) if rtol is None else rtol
    if method == "qr":
        theta = _by_qr(x, y, ridge, chosen, rtol)
        if theta is not None:
            return theta
    if not ridge:
        return _by_svd(x, y, rtol)
    return _ridge_by_svd(x, y, ridge, chosen, rtol)


def nested_least_squares(
    design: np.ndarray, targets: np.ndarray, others: np.ndarray, ridge: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the least-squares fits to the first 1, 2, ..., P columns predict, of G problems and all P sizes at once.

    X = Q R; the fit to the first p columns has R_pp theta = (Q^T Y)_p with the leading block R_pp, and the leading
    block of R^-1 is R_pp^-1, so it predicts sum_{j<p} (V R^-1)_j (Q^T Y)_j at rows V: one factor, one running sum. A
    penalty is the rows ridge^(1/2) I under X and zeros under Y, which stay nested. (Golub & Van Loan, chapter 5.)

    Args:
        design: X, (G, N, P); the first column is not penalized. N >= P unless there is a ridge.
        targets: Y, (G, N, K).
        others: V, (G, M, P).
        ridge: at least 0.
    Returns:
        Predictions at X, (G, N, K, P), and at V, (G, M, K, P), and booleans (G, P): whether so many columns are
        independent; where they are not, the predictions say nothing.
    """
    sets, rows, columns = design.shape
    x, y = design, targets
    if ridge:
        penalty = ridge**0.5 * np.eye(columns)[1:]
        x = np.concatenate([x, np.broadcast_to(penalty, (sets, *penalty.shape))], axis=1)
        y = np.concatenate([y, np.zeros((sets, columns - 1, y.shape[2]))], axis=1)
    q, r = np.linalg.qr(x)
    sizes = np.abs(np.diagonal(r, axis1=1, axis2=2))
    smallest, largest = np.minimum.accumulate(sizes, axis=1), np.maximum.accumulate(sizes, axis=1)
    full_rank = smallest > largest * _tolerance(x[0])
    # From the first dependent column on nothing is read; ones on the diagonal keep the inverse of the rest finite.
    r = np.where(np.eye(columns, dtype=bool) & ~full_rank[:, None, :], 1.0, r)
    parts = np.swapaxes(q, 1, 2) @ y  # (G, P, K)
    parts = np.swapaxes(parts, 1, 2)[:, None]  # (G, 1, K, P)
    train_pred = np.cumsum(q[:, :rows, None, :] * parts, axis=3)
    other_pred = np.cumsum((others @ np.linalg.inv(r))[:, :, None, :] * parts, axis=3)
    return train_pred, other_pred, full_rank


def _by_qr(x: Array, y: Array, ridge: float, chosen: np.ndarray, rtol: float) -> Array | None:
    """The solution, or None where the columns (with the penalty's rows) depend on each other."""
    xp = array_module(x)
    if ridge:
        rows = ridge**0.5 * np.eye(x.shape[1])[chosen]
        x = xp.concatenate([x, xp.asarray(rows)])
        y = xp.concatenate([y, xp.zeros((len(rows), y.shape[1]))])
        # Where only a penalty so small parts two columns, rounding in X would be divided by its square.
        rtol **= 0.5
    if x.shape[0] < x.shape[1]:
        return None
    q, r = xp.linalg.qr(x)
    sizes = _lengths(r)  # those of the columns of X
    if not bool((xp.abs(xp.diagonal(r)) > sizes * rtol).all()):
        return None
    theta = xp.linalg.solve(r, q.T @ y)
    # Each column may keep a share of its own and all together still cancel to the last digit.
    terms = xp.abs(theta) * sizes[:, None]
    return theta if bool((terms * _tolerance(x) <= _lengths(y)).all()) else None


def _by_svd(x: Array, y: Array, rtol: float) -> Array:
    """The solution of least norm."""
    xp = array_module(x)
    sizes = _powers_of_two(xp.abs(x).max(axis=0))
    u, s, vt = xp.linalg.svd(x / sizes, full_matrices=False)
    significant = s > s.max() * rtol
    rank = int(significant.sum())
    inverse = xp.where(significant, 1 / xp.where(significant, s, 1), 0)
    theta = (vt.T @ (inverse[:, None] * (u.T @ y))) / sizes[:, None]
    if rank == x.shape[1]:
        return theta
    warnings.warn(_dependence(x.shape, rank), RankDeficientWarning, stacklevel=4)
    if float(sizes.max()) > _COMPARABLE * float(sizes.min()):
        return theta
    # Of all solutions the smallest lies in the span of X's rows.
    span, _ = xp.linalg.qr(vt[:rank].T * sizes[:, None])
    return span @ (span.T @ theta)


def _powers_of_two(sizes: Array) -> Array:
    """The powers of two next to these sizes, by which one divides without rounding; 1 for 0."""
    xp = array_module(sizes)
    return xp.ldexp(xp.ones_like(sizes), xp.where(sizes > 0, xp.frexp(sizes)[1], 0))


def _lengths(x: Array) -> Array:
    """The Euclidean lengths of the columns, even where their squares are more than a number holds."""
    xp = array_module(x)
    sizes = _powers_of_two(xp.abs(x).max(axis=0))
    return xp.linalg.norm(x / sizes, axis=0) * sizes


def cancellation(dtype: np.dtype) -> str:
    """The warning where a solution of columns that nearly depend on each other is more than a type can hold."""
    return (
        f"least squares: columns of the features nearly depend on each other, so the coefficients cancel to more "
        f"digits than {dtype} has; smaller ones that fit nearly as well are taken; precision: float64, "
        "data.normalize: standardize, fewer features or ridge > 0 decides"
    )


def _dependence(shape: tuple[int, int], rank: int) -> str:
    """What is wrong with a design of this shape and rank."""
    fix = "fewer features, a lower degree or ridge > 0 decides"
    if shape[0] < shape[1]:
        fix = f"more data, {fix}"
    else:  # More samples of the same kind need not help: one-hot columns, say, always add up to the bias's.
        fix = f"columns depend on each other (as all one-hot columns of a category do with the bias); {fix}"
    return (
        f"least squares: {shape[0]} samples determine only {rank} of {shape[1]} coefficients, so many fit equally well "
        f"and the smallest are taken; {fix}"
    )


def _ridge_by_svd(x: Array, y: Array, ridge: float, chosen: np.ndarray, rtol: float) -> Array:
    """The penalized solution by filter factors, on what the columns without a penalty leave over."""
    xp = array_module(x)
    theta = xp.zeros((x.shape[1], y.shape[1]))
    inside, outside = xp.asarray(np.flatnonzero(chosen)), xp.asarray(np.flatnonzero(~chosen))
    free, bound = x[:, outside], x[:, inside]
    rest, goal = bound, y
    if free.shape[1]:
        q, _ = xp.linalg.qr(free)
        rest, goal = bound - q @ (q.T @ bound), y - q @ (q.T @ y)
    u, s, vt = xp.linalg.svd(rest, full_matrices=False)
    # What rounding may have made of a zero is one: a small ridge would turn its inverse into a large coefficient.
    floor = _lengths(_lengths(bound)[:, None]) * rtol if inside.size else 0.0
    filtered = xp.hypot(s, ridge**0.5)  # s / (s^2 + ridge), whose square may be more than a number holds
    factors = xp.where(s > floor, s / filtered / filtered, 0)
    theta[inside] = vt.T @ (factors[:, None] * (u.T @ goal))
    if free.shape[1]:
        theta[outside] = _by_svd(free, y - bound @ theta[inside], rtol)
    return theta


def _tolerance(x: Array) -> float:
    """The share of the largest singular value below which rounding may have made one (LAPACK's and NumPy's rule)."""
    return max(x.shape) * float(np.finfo(np.float64).eps)
