"""Maximum likelihood of a line with Gaussian noise: least squares, and sigma."""

import numpy as np
import pytest

from dlcourse import backend, models, nn, optim
from dlcourse.autograd import Tensor
from dlcourse.backend.linalg import RankDeficientWarning
from dlcourse.data.normalizer import Normalizer
from dlcourse.errors import UserError
from dlcourse.training.step import TrainStep


def rents() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    area = rng.uniform(500, 1400, (100, 1))
    return area, 4.0 * area - 300.0 + 300.0 * rng.normal(size=area.shape)


def prepared(x: np.ndarray, y: np.ndarray, dtype: type = np.float64) -> tuple:
    here = backend.current()
    model = models.GaussianRegression(x.shape[1:], y.shape[1]).to(device=here.name, dtype=dtype)
    x, y = here.asarray(x, dtype=dtype), here.asarray(y, dtype=dtype)
    model.adapt(x, y)
    return model, x, y


@pytest.mark.parametrize("kind", ["none", "standardize"])
def test_the_line_is_least_squares_and_sigma_the_root_mean_square(kind: str, device: str) -> None:
    area, rent = rents()
    slope, intercept = np.polyfit(area[:, 0], rent[:, 0], 1)
    sigma = np.sqrt(np.mean((rent - slope * area - intercept) ** 2))
    normalizer = Normalizer.fit(area, kind)
    model, x, y = prepared(normalizer.apply(area.copy()), rent)
    optim.ClosedForm().solve(model, x, y)
    expected = {"slope": slope, "intercept": intercept, "sigma": sigma}
    assert model.estimates(normalizer) == pytest.approx(expected, rel=1e-10)


def test_gradient_descent_on_the_likelihood_comes_to_the_same(device: str) -> None:
    area, rent = rents()
    solved, x, y = prepared(area, rent)
    optim.ClosedForm().solve(solved, x, y)
    trained, x, y = prepared(area, rent)
    step = TrainStep(trained, nn.GaussianLikelihoodLoss(), optim.SGD(trained.parameters(), lr=0.02, momentum=0.9))
    for _ in range(800):
        step(x, y)
    assert trained.estimates() == pytest.approx(solved.estimates(), rel=1e-8)


def test_no_other_parameters_have_a_larger_likelihood() -> None:
    model, x, y = prepared(*rents())
    optim.ClosedForm().solve(model, x, y)
    loss = nn.GaussianLikelihoodLoss()
    best = loss(model(x), y)
    best.backward()
    assert all(np.abs(p.grad.numpy()).max() < 1e-12 for p in model.parameters())
    residual_based = 0.5 * np.log(2 * np.pi * model.estimates()["sigma"] ** 2) + 0.5
    assert best.item() == pytest.approx(residual_based, rel=1e-12)


def test_outputs_are_means_and_log_sigmas_in_the_targets_units(device: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 2))
    y = x @ [[1.0, 100.0], [2.0, -50.0]] + [5.0, 1000.0] + rng.normal(size=(200, 2)) * [0.1, 20.0]
    model, x, y = prepared(x, y)
    optim.ClosedForm().solve(model, x, y)
    outputs = model(x).numpy()
    assert outputs.shape == (200, 4)
    np.testing.assert_allclose(np.exp(outputs[0, 2:]), [0.1, 20.0], rtol=0.2)
    np.testing.assert_allclose((backend.to_host(y) - outputs[:, :2]).mean(axis=0), 0, atol=1e-9)
    found = model.estimates()
    assert found["slope_1[1]"] == pytest.approx(100, abs=5) and found["sigma[0]"] == pytest.approx(0.1, rel=0.2)


def test_before_any_fit_it_is_the_best_constant() -> None:
    area, rent = rents()
    model, x, _ = prepared(area, rent, dtype=np.float32)
    outputs = model(x).numpy()
    np.testing.assert_allclose(outputs[:, 0], rent.mean(), rtol=1e-6)
    np.testing.assert_allclose(np.exp(outputs[:, 1]), rent.std(), rtol=1e-5)


def test_a_perfect_fit_has_no_likelihood() -> None:
    x = np.arange(5.0)[:, None]
    model, x, y = prepared(x, 2 * x + 1)
    with pytest.raises(UserError, match="all 5 training targets"):
        optim.ClosedForm().solve(model, x, y)


def test_labels_are_no_numbers() -> None:
    with pytest.raises(UserError, match="class labels"):
        models.GaussianRegression((1,), 3).adapt(np.ones((4, 1)), np.array([0, 1, 2, 0]))


@pytest.mark.parametrize("away", [1e-9, 1e-7])
def test_coefficients_that_cancel_beyond_float32_are_left_for_smaller_ones(away: float) -> None:
    draw = np.random.default_rng(0)
    a = draw.normal(size=(20, 3))
    x = np.concatenate([a, a[:, :1] + away * draw.normal(size=(20, 1))], axis=1)
    y = a @ np.array([[1.0], [2.0], [3.0]]) + 0.1 * draw.normal(size=(20, 1))
    model = models.GaussianRegression((4,), 1)
    model.adapt(x.astype("float32"), y.astype("float32"))
    with pytest.warns(RankDeficientWarning, match="cancel to more digits than float32"):
        model.fit(x, y)
    error = model(Tensor(x.astype("float32"))).data[:, :1] - y
    best = np.linalg.lstsq(np.c_[a, np.ones(20)], y, rcond=None)[1] / 20
    assert float((error**2).mean()) == pytest.approx(float(best[0]), rel=0.01)
