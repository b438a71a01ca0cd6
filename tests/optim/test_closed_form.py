"""The closed forms under the trainer's face: they reach what gradient descent reaches."""

import warnings

import numpy as np
import pytest

from dlcourse import backend, models, nn, optim, registry
from dlcourse.backend.linalg import RankDeficientWarning
from dlcourse.errors import UserError
from dlcourse.optim.closed_form import PoorFitWarning
from dlcourse.training.step import TrainStep


def regression(targets: int = 1) -> tuple:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(50, 2))
    y = x @ rng.normal(size=(2, targets)) + 2.0 + 0.1 * rng.normal(size=(50, targets))
    return backend.current().asarray(x), backend.current().asarray(y)


def linear(targets: int = 1) -> models.LinearModel:
    return models.LinearModel((2,), targets).to(device=backend.current().name, dtype=np.float64)


@pytest.mark.parametrize("ridge", [0.0, 5.0])
@pytest.mark.parametrize("method", ["qr", "svd"])
def test_gradient_descent_on_the_same_cost_reaches_the_same_theta(ridge: float, method: str, device: str) -> None:
    x, y = regression(targets=2)
    solved, trained = linear(2), linear(2)
    optim.LeastSquares(ridge=ridge, method=method).solve(solved, x, y)
    step = TrainStep(trained, nn.HalfSSELoss(), optim.SGD(trained.parameters(), lr=0.01), l2=ridge)
    for _ in range(600):
        step(x, y)
    np.testing.assert_allclose(trained.weight.numpy(), solved.weight.numpy(), rtol=1e-10)
    np.testing.assert_allclose(trained.bias.numpy(), solved.bias.numpy(), rtol=1e-10)


def test_ridge_is_scikit_learns() -> None:
    sklearn = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    x, y = regression()
    model = linear()
    optim.LeastSquares(ridge=3.0).solve(model, x, y)
    peer = sklearn.Ridge(alpha=3.0, solver="svd").fit(x, y[:, 0])
    np.testing.assert_allclose(model.weight.numpy()[0], peer.coef_, rtol=1e-10)
    np.testing.assert_allclose(model.bias.numpy()[0], peer.intercept_, rtol=1e-10)


def test_a_model_in_float32_gets_the_solution_of_float64() -> None:
    x, y = regression()
    wide, narrow = linear(), models.LinearModel((2,), 1)
    optim.LeastSquares().solve(wide, x, y)
    optim.LeastSquares().solve(narrow, x, y)
    assert narrow.weight.dtype == np.float32
    np.testing.assert_array_equal(narrow.weight.numpy(), wide.weight.numpy().astype(np.float32))


def test_coefficients_that_the_models_type_cannot_hold_are_made_smaller() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(60, 1))
    x = np.concatenate([first, first + 1e-9 * rng.normal(size=(60, 1))], axis=1)
    y = first + 0.1 * rng.normal(size=(60, 1))
    model = models.LinearModel((2,), 1)
    with pytest.warns(RankDeficientWarning, match="more digits than float32 has.*precision: float64"):
        optim.LeastSquares().solve(model, x, y)
    error = y - model(x.astype(np.float32)).numpy()
    assert (error**2).mean() < 0.015
    np.testing.assert_allclose(model.weight.numpy(), 0.5, atol=0.05)


def test_a_solution_worse_than_the_mean_is_said() -> None:
    x, y = regression()
    with pytest.warns(PoorFitWarning, match="worse on the training samples than its mean.*precision: float64"):
        optim.LeastSquares().solve(models.LinearModel((2,), 1), x, 1e9 + y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PoorFitWarning)
        for constant in (0.1, 0.0, 1e9 + 0.1):
            optim.LeastSquares(ridge=1.0).solve(models.LinearModel((2,), 1), x, np.full((50, 1), constant))


def test_state_is_the_number_of_solutions() -> None:
    x, y = regression()
    for made in (optim.LeastSquares(), optim.ClosedForm()):
        assert made.closed_form and made.state_dict() == {"steps": 0, "arrays": {}}
    solver = optim.LeastSquares()
    solver.solve(linear(), x, y)
    again = optim.LeastSquares()
    again.load_state_dict(solver.state_dict())
    assert again.steps == 1


def test_models_without_a_closed_form_say_what_to_take() -> None:
    x, y = regression()
    net = models.MLP((2,), 1, hidden=[3])
    with pytest.raises(UserError, match="least_squares cannot fit MLP.*linear and polynomial"):
        optim.LeastSquares().solve(net, x, y)
    with pytest.raises(UserError, match="closed_form cannot fit MLP"):
        optim.ClosedForm().solve(net, x, y)
    with pytest.raises(UserError, match="least_squares"):
        optim.ClosedForm().solve(linear(), x, y)


def test_class_labels_are_refused() -> None:
    x, _ = regression()
    with pytest.raises(UserError, match="int64 targets of shape"):
        optim.LeastSquares().solve(linear(), x, np.zeros(50, dtype=np.int64))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="ridge"):
        optim.LeastSquares(ridge=-1.0)
    with pytest.raises(ValueError, match="qr or svd"):
        optim.LeastSquares(method="inverse")


def test_a_config_builds_each() -> None:
    model = linear()
    built = registry.build("optimizer", {"name": "least_squares", "ridge": 0.5}, params=model.parameters())
    assert (built.ridge, built.method) == (0.5, "qr")
    assert isinstance(registry.build("optimizer", {"name": "closed_form"}, params=model.parameters()), optim.ClosedForm)
