"""Estimators of mean and variance: their values, and their own bias and variance against the formulas."""

import numpy as np
import pytest

from dlcourse import backend, models, optim
from dlcourse.errors import UserError


def estimated(samples: np.ndarray) -> models.GaussianEstimators:
    here = backend.current()
    model = models.GaussianEstimators((1,), 1).to(device=here.name, dtype=np.float64)
    y = here.asarray(samples[:, None])
    optim.ClosedForm().solve(model, y, y)
    return model


def test_values_and_outputs(device: str) -> None:
    samples = np.random.default_rng(0).normal(5, 2, 20)
    model = estimated(samples)
    expected = {"mean": samples.mean(), "variance_ml": samples.var(), "variance_unbiased": samples.var(ddof=1)}
    assert model.estimates() == pytest.approx(expected, rel=1e-12)
    outputs = model(backend.current().asarray(np.zeros((3, 1)))).numpy()
    np.testing.assert_allclose(outputs, np.tile([samples.mean(), np.log(samples.std())], (3, 1)), rtol=1e-12)


@pytest.mark.parametrize("m", [2, 5, 20])
def test_the_formulas_hold_over_many_samples(m: int) -> None:
    repeats = 4000
    samples = np.random.default_rng(m).normal(3, 2, (repeats, m))
    found = [estimated(row).estimates() for row in samples[:50]]
    for name, (expectation, variance) in models.GaussianEstimators.theory({"mean": 3.0, "variance": 4.0}, m).items():
        values = {
            "mean": samples.mean(axis=1),
            "variance_ml": samples.var(axis=1),
            "variance_unbiased": samples.var(axis=1, ddof=1),
        }[name]
        np.testing.assert_allclose([f[name] for f in found], values[:50], rtol=1e-10)
        # Five standard errors; that of a variance from the fourth moment, which the values themselves give.
        fourth = np.mean((values - values.mean()) ** 4)
        assert abs(values.mean() - expectation) < 5 * (variance / repeats) ** 0.5
        assert abs(values.var() - variance) < 5 * ((fourth - variance**2) / repeats) ** 0.5


def test_each_estimator_says_what_it_is_after() -> None:
    assert set(models.GaussianEstimators.estimated) == set(
        models.GaussianEstimators.theory({"mean": 0.0, "variance": 1.0}, 5)
    )


def test_it_is_saved_with_its_estimates() -> None:
    model, other = estimated(np.arange(5.0)), models.GaussianEstimators((1,), 1).to(dtype=np.float64)
    other.load_state_dict(model.state_dict())
    assert other.estimates() == model.estimates()


@pytest.mark.parametrize("samples", [[1.0], [2.0, 2.0, 2.0]])
def test_samples_without_spread_are_refused(samples: list[float]) -> None:
    with pytest.raises(UserError, match="without spread"):
        estimated(np.array(samples))


def test_several_variables_are_refused() -> None:
    with pytest.raises(UserError, match="one variable"):
        models.GaussianEstimators((2,), 2)
