"""Polynomials: well conditioned inside, in powers of x outside."""

import numpy as np
import pytest

from dlcourse import backend, models, nn, optim
from dlcourse.data.normalizer import Normalizer
from dlcourse.training.step import TrainStep

BASES = pytest.mark.parametrize("basis", ["legendre", "chebyshev", "power"])


def fitted(x: np.ndarray, y: np.ndarray, degree: int, basis: str = "legendre", dtype=np.float64, **solver):
    here = backend.current()
    model = models.PolynomialModel(x.shape[1:], y.shape[1], degree, basis).to(device=here.name, dtype=dtype)
    x, y = here.asarray(x, dtype=dtype), here.asarray(y, dtype=dtype)
    model.adapt(x, y)
    optim.LeastSquares(**solver).solve(model, x, y)
    return model


@BASES
@pytest.mark.parametrize("kind", ["none", "standardize", "minmax"])
def test_the_true_coefficients_come_back_in_powers_of_x(basis: str, kind: str, device: str) -> None:
    x = np.random.default_rng(0).uniform(0, 1, (50, 1))
    normalizer = Normalizer.fit(x, kind)
    model = fitted(normalizer.apply(x.copy()), x - 2 * x**2 + x**3, 3, basis)
    expected = {"theta_0": 0.0, "theta_1": 1.0, "theta_2": -2.0, "theta_3": 1.0}
    assert model.estimates(normalizer) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("degree", range(1, 16))
@pytest.mark.parametrize("low", [0.0, 500.0])
def test_every_degree_is_well_conditioned(degree: int, low: float) -> None:
    x = np.random.default_rng(0).uniform(low, low + 900 if low else 1, (100, 1))
    y = np.sin(7 * (x - x.min()) / np.ptp(x))
    model = fitted(x, y, degree)
    design = model.design_matrix(x)
    assert np.linalg.cond(design) < 30
    if degree == 15:
        assert np.linalg.cond(np.vander(x[:, 0], degree + 1)) > 1e10
    # Least squares leaves a residual orthogonal to every column.
    residual = y - model(x).numpy()
    assert np.abs(design.T @ residual).max() < 1e-11


@BASES
def test_degree_15_estimates_reproduce_the_fit(basis: str) -> None:
    x = np.random.default_rng(0).uniform(-1.5, 2.0, (200, 1))
    model = fitted(x, np.exp(x) * np.cos(3 * x), 15, basis)
    found = model.estimates()
    powers = np.array([found[f"theta_{k}"] for k in range(16)])
    np.testing.assert_allclose(np.vander(x[:, 0], 16, increasing=True) @ powers, model(x).numpy()[:, 0], atol=1e-7)


@BASES
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (500.0, 1400.0), (-3.0, 10.0)])
def test_conversion_to_powers_is_numpys(basis: str, bounds: tuple[float, float]) -> None:
    from numpy.polynomial import Chebyshev, Legendre, Polynomial

    series = {"legendre": Legendre, "chebyshev": Chebyshev, "power": Polynomial}
    coefficients = np.random.default_rng(0).normal(size=16)
    model = models.PolynomialModel((1,), 1, 15, basis).to(dtype=np.float64)
    model.low[...], model.high[...] = bounds
    model.set_solution(np.roll(coefficients, -1)[:, None])
    expected = series[basis](coefficients, domain=bounds).convert(kind=Polynomial).coef
    np.testing.assert_allclose(list(model.estimates().values()), expected, rtol=1e-13)


@BASES
def test_the_bases_span_the_same_functions(basis: str) -> None:
    x = np.random.default_rng(0).uniform(0, 1, (40, 1))
    y = np.sin(6 * x) + 0.1 * np.random.default_rng(1).normal(size=x.shape)
    grid = np.linspace(-0.5, 2, 30)[:, None]  # past the data too
    expected = np.polynomial.Polynomial.fit(x[:, 0], y[:, 0], 6)(grid)
    np.testing.assert_allclose(fitted(x, y, 6, basis)(grid).numpy(), expected, rtol=1e-8, atol=1e-9)


def test_extrapolation_in_float32_agrees_with_float64() -> None:
    x = np.random.default_rng(0).uniform(0, 1, (100, 1)).astype(np.float32)
    y = x - 2 * x**2 + x**3 + np.float32(0.03) * np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    grid = np.linspace(0, 2, 50)[:, None].astype(np.float32)
    for degree in (3, 9):
        narrow, wide = fitted(x, y, degree, dtype=np.float32)(grid), fitted(x, y, degree)(grid.astype(np.float64))
        np.testing.assert_allclose(narrow.numpy(), wide.numpy(), rtol=1e-4, atol=1e-5)


def test_gradient_descent_reaches_the_least_squares_fit(device: str) -> None:
    here = backend.current()
    x = np.random.default_rng(0).uniform(500, 1400, (60, 1))
    y = np.sin(x / 150)
    solved = fitted(x, y, 7)
    trained = models.PolynomialModel((1,), 1, 7).to(device=device, dtype=np.float64)
    x, y = here.asarray(x), here.asarray(y)
    trained.adapt(x, y)
    step = TrainStep(trained, nn.HalfSSELoss(), optim.SGD(trained.parameters(), lr=0.02, momentum=0.9))
    for _ in range(1500):
        step(x, y)
    np.testing.assert_allclose(trained.weight.numpy(), solved.weight.numpy(), rtol=1e-6, atol=1e-9)


def test_several_features_get_powers_of_each(device: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform([0, 10], [1, 30], (60, 2))
    model = fitted(x, (1 + 2 * x[:, 0] ** 2 - 3 * x[:, 1] + 0.5 * x[:, 1] ** 2)[:, None], 2)
    expected = {"theta_0": 1, "theta_1_1": 0, "theta_1_2": 2, "theta_2_1": -3, "theta_2_2": 0.5}
    assert model.estimates() == pytest.approx(expected, abs=1e-9)


def test_a_feature_without_spread_changes_nothing() -> None:
    x = np.random.default_rng(0).uniform(0, 1, (30, 2))
    x[:, 1] = 4.0
    with pytest.warns(UserWarning, match="of 5 coefficients"):
        model = fitted(x, x[:, :1] ** 2, 2)
    np.testing.assert_allclose(model(x).numpy(), x[:, :1] ** 2, atol=1e-12)
    found = model.estimates()
    constant = found["theta_0"] + 4 * found["theta_2_1"] + 16 * found["theta_2_2"]
    assert found["theta_1_2"] == pytest.approx(1) and constant == pytest.approx(0, abs=1e-12)


def test_ridge_leaves_the_constant_alone() -> None:
    x = np.random.default_rng(0).uniform(0, 1, (50, 1))
    y = 100 + x**2
    model = fitted(x, y, 4, ridge=1e9)
    np.testing.assert_allclose(model(x).numpy(), np.full_like(y, y.mean()), rtol=1e-6)


def test_the_range_is_saved_with_the_model() -> None:
    x = np.random.default_rng(0).uniform(3, 9, (50, 1))
    model = fitted(x, np.log(x), 4)
    other = models.PolynomialModel((1,), 1, 4).to(dtype=np.float64)
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other(x).numpy(), model(x).numpy())


def test_settings_out_of_range_are_refused() -> None:
    for degree in (0, 31):
        with pytest.raises(ValueError, match="degree"):
            models.PolynomialModel((1,), 1, degree)
    with pytest.raises(ValueError, match="basis"):
        models.PolynomialModel((1,), 1, 3, basis="fourier")
