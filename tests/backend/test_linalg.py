"""Least squares against NumPy's and against the normal equations in exact arithmetic."""

import warnings
from fractions import Fraction

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.backend.linalg import RankDeficientWarning, least_squares
from dlcourse.errors import ShapeError

METHODS = pytest.mark.parametrize("method", ["qr", "svd"])


def problem(rows: int = 30, columns: int = 5, targets: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows)
    design = np.concatenate([rng.normal(size=(rows, columns - 1)), np.ones((rows, 1))], axis=1)
    return design, rng.normal(size=(rows, targets)) + 3


def solved(design: np.ndarray, targets: np.ndarray, *args: object) -> np.ndarray:
    here = backend.current()
    theta = least_squares(here.asarray(design), here.asarray(targets), *args)
    assert backend.of(theta) is here and theta.dtype == np.float64
    return backend.to_host(theta)


@METHODS
def test_without_a_penalty_it_is_lstsq(method: str, device: str) -> None:
    design, targets = problem()
    expected = np.linalg.lstsq(design, targets, rcond=None)[0]
    np.testing.assert_allclose(solved(design, targets, 0.0, None, method), expected, rtol=1e-12)


@METHODS
@pytest.mark.parametrize("free", [[], [4], [0, 4], [0, 1, 2, 3, 4]])
@pytest.mark.parametrize("rows", [30, 3])
def test_a_penalty_solves_the_normal_equations(method: str, free: list[int], rows: int, device: str) -> None:
    if len(free) > rows:
        pytest.skip("more free coefficients than samples: no unique solution")
    design, targets = problem(rows)
    penalized = ~np.isin(np.arange(5), free)
    expected = np.linalg.solve(design.T @ design + 0.7 * np.diag(penalized), design.T @ targets)
    np.testing.assert_allclose(solved(design, targets, 0.7, penalized, method), expected, rtol=1e-9)


@METHODS
def test_an_ill_conditioned_problem_keeps_its_digits(method: str) -> None:
    """Powers of x up to 8 on [0, 1]: condition 1e6, so 1e12 for the normal equations; the exact answer by fractions."""
    x = np.linspace(0, 1, 12)
    design, targets = np.vander(x, 9), np.sin(5 * x)[:, None]
    rows = [[Fraction(float(v)) for v in row] for row in design]
    goal = [Fraction(float(v)) for v in targets[:, 0]]
    gram = [[sum(r[i] * r[j] for r in rows) for j in range(9)] for i in range(9)]
    exact = _solve_exactly(gram, [sum(r[i] * g for r, g in zip(rows, goal, strict=True)) for i in range(9)])
    ours = least_squares(design, targets, method=method)[:, 0]
    normal = np.linalg.solve(design.T @ design, design.T @ targets)[:, 0]
    error = np.abs(ours / exact - 1).max()
    assert error < 1e-8
    assert np.abs(normal / exact - 1).max() > 100 * error


@METHODS
def test_dependent_columns_are_said_and_the_smallest_solution_taken(method: str, device: str) -> None:
    design, targets = problem()
    design = np.concatenate([design, design[:, :1] + design[:, 1:2]], axis=1)
    with pytest.warns(RankDeficientWarning, match="30 samples determine only 5 of 6 .*; columns depend on"):
        theta = solved(design, targets, 0.0, None, method)
    np.testing.assert_allclose(theta, np.linalg.pinv(design) @ targets, rtol=1e-9)


@METHODS
def test_fewer_samples_than_coefficients(method: str) -> None:
    design, targets = problem(rows=3)
    with pytest.warns(RankDeficientWarning, match="3 of 5"):
        theta = least_squares(design, targets, method=method)
    np.testing.assert_allclose(design @ theta, targets, rtol=1e-10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        least_squares(design, targets, ridge=1e-3, method=method)


@METHODS
def test_columns_of_zeros_everywhere(method: str) -> None:
    with pytest.warns(RankDeficientWarning, match="0 of 2"):
        theta = least_squares(np.zeros((4, 2)), np.ones((4, 1)), method=method)
    assert not theta.any()


@METHODS
def test_the_unit_of_a_column_does_not_decide_whether_it_counts(method: str) -> None:
    design, targets = problem()
    units = np.array([1e12, 1e-12, 1, 1e150, 1])
    expected = np.linalg.lstsq(design, targets, rcond=None)[0] / units[:, None]
    np.testing.assert_allclose(least_squares(design * units, targets, method=method), expected, rtol=1e-9)


@METHODS
def test_dependent_columns_of_very_different_units(method: str) -> None:
    design, targets = problem()
    units = np.array([1e-20, 1e18, 1, 1, 1, 1])
    wide = np.concatenate([design, design[:, 3:4]], axis=1)
    with pytest.warns(RankDeficientWarning, match="5 of 6"):
        theta = least_squares(wide * units, targets, method=method)
    fitted = design @ np.linalg.lstsq(design, targets, rcond=None)[0]
    np.testing.assert_allclose((wide * units) @ theta, fitted, rtol=1e-9)


@METHODS
@pytest.mark.parametrize("ridge", [1e-300, 1e-40, 1e-20, 1e-9])
def test_a_tiny_penalty_of_dependent_columns_gives_about_the_smallest_solution(method: str, ridge: float) -> None:
    rng = np.random.default_rng(0)
    city = np.eye(3)[rng.integers(3, size=60)]
    design = np.concatenate([rng.normal(size=(60, 1)), (city - city.mean(0)) / city.std(0), np.ones((60, 1))], axis=1)
    targets = design[:, :1] + city[:, :1] + rng.normal(size=(60, 1))
    expected = np.linalg.pinv(design, rtol=1e-12) @ targets
    theta = least_squares(design, targets, ridge, np.arange(5) < 4, method)
    # Rounding in X is as large as a penalty of 1e-32 of its size: below, what is smallest is known less well.
    np.testing.assert_allclose(design @ theta, design @ expected, atol=1e-5)
    assert np.abs(theta).max() < 10


def test_float32_is_solved_in_float64() -> None:
    design, targets = (a.astype(np.float32) for a in problem())
    expected = np.linalg.lstsq(design.astype(float), targets.astype(float), rcond=None)[0]
    np.testing.assert_allclose(least_squares(design, targets), expected, rtol=1e-12)


def test_inputs_stay_as_they_are() -> None:
    design, targets = problem()
    saved = design.copy(), targets.copy()
    for method in ("qr", "svd"):
        least_squares(design, targets, 0.1, np.arange(5) < 4, method)
    np.testing.assert_array_equal(design, saved[0])
    np.testing.assert_array_equal(targets, saved[1])


def test_shapes_that_do_not_fit() -> None:
    for shapes in [((3, 2), (4, 1)), ((3,), (3, 1)), ((3, 2), (3,)), ((0, 2), (0, 1))]:
        with pytest.raises(ShapeError, match="expected X"):
            least_squares(np.ones(shapes[0]), np.ones(shapes[1]))


def _solve_exactly(a: list[list[Fraction]], b: list[Fraction]) -> np.ndarray:
    """Gauss's elimination on fractions."""
    size = len(b)
    rows = [[*a[i], b[i]] for i in range(size)]
    for i in range(size):
        pivot = next(j for j in range(i, size) if rows[j][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for j in range(size):
            if j != i:
                rows[j] = [v - rows[j][i] * w for v, w in zip(rows[j], rows[i], strict=True)]
    return np.array([float(row[-1]) for row in rows])


@pytest.mark.parametrize("size", [1e160, 1e-160])
def test_a_penalty_beside_numbers_whose_squares_overflow(size: float) -> None:
    """Beside columns of 1e160 a penalty of 0.1 is nothing; beside such of 1e-160 it leaves no coefficient."""
    design, targets = problem()
    design[:, :4] *= size
    free = np.arange(5) < 4
    expected = np.linalg.lstsq(design / [*[size] * 4, 1], targets, rcond=None)[0] if size > 1 else np.zeros((5, 2))
    if size < 1:
        expected[4] = targets.mean(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RankDeficientWarning)
        ours = least_squares(design, targets, 0.1, free) * np.array([*[size] * 4, 1])[:, None]
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)
