"""Gaussian maximum-likelihood classification against the formulas written plainly and against scikit-learn."""

import numpy as np
import pytest

from dlcourse import backend, models, nn, optim
from dlcourse.data.normalizer import Normalizer
from dlcourse.errors import UserError
from dlcourse.training.step import TrainStep

KINDS = pytest.mark.parametrize("covariance", ["full", "shared", "diagonal"])


def clouds(width: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.choice(3, 200, p=[0.5, 0.3, 0.2])
    spread = rng.normal(size=(3, width, width))
    return rng.normal(size=(3, width))[y] * 3 + np.einsum("nij,nj->ni", spread[y], rng.normal(size=(200, width))), y


def fitted(x: np.ndarray, y: np.ndarray, dtype: type = np.float64, **settings) -> models.GaussianClassifier:
    here = backend.current()
    model = models.GaussianClassifier(x.shape[1:], 3, **settings).to(device=here.name, dtype=dtype)
    optim.ClosedForm().solve(model, here.asarray(x, dtype=dtype), here.asarray(y))
    return model


def plainly(x: np.ndarray, y: np.ndarray, covariance: str, priors: str, regularization: float) -> np.ndarray:
    """log p(x, c) as the lecture writes it, with inverses and determinants."""
    counts = np.bincount(y)
    means = [x[y == c].mean(axis=0) for c in range(3)]
    matrices = [sum(np.outer(d, d) for d in x[y == c] - means[c]) / counts[c] for c in range(3)]
    if covariance == "shared":
        matrices = [sum(n * s for n, s in zip(counts, matrices, strict=True)) / len(x)] * 3
    if covariance == "diagonal":
        matrices = [np.diag(np.diag(s)) for s in matrices]
    columns = []
    for c in range(3):
        s = matrices[c] + regularization * np.eye(x.shape[1])
        d = x - means[c]
        quadratic = np.einsum("ni,ij,nj->n", d, np.linalg.inv(s), d)
        prior = 1 / 3 if priors == "equal" else counts[c] / len(x)
        columns.append(np.log(prior) - 0.5 * quadratic - 0.5 * np.log(np.linalg.det(2 * np.pi * s)))
    return np.stack(columns, axis=1)


@KINDS
@pytest.mark.parametrize("priors", ["learned", "equal"])
@pytest.mark.parametrize("regularization", [0.0, 0.3])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_outputs_are_the_log_joint_densities(
    covariance: str, priors: str, regularization: float, width: int, device: str
) -> None:
    x, y = clouds(width)
    model = fitted(x, y, covariance=covariance, priors=priors, regularization=regularization)
    outputs = model(backend.current().asarray(x)).numpy()
    np.testing.assert_allclose(outputs, plainly(x, y, covariance, priors, regularization), rtol=1e-10, atol=1e-10)


def test_posteriors_are_scikit_learns() -> None:
    sklearn = pytest.importorskip("sklearn.naive_bayes", reason="scikit-learn is not installed")
    x, y = clouds()
    logits = fitted(x, y, covariance="diagonal")(x).numpy()
    ours = np.exp(logits - logits.max(axis=1, keepdims=True))
    ours /= ours.sum(axis=1, keepdims=True)
    peer = sklearn.GaussianNB(var_smoothing=0).fit(x, y)
    np.testing.assert_allclose(ours, peer.predict_proba(x), atol=1e-12)


@KINDS
def test_estimates_and_ellipses_come_in_raw_units(covariance: str) -> None:
    x, y = clouds()
    x = x * [100.0, 0.01] + [5000.0, 3.0]
    normalizer = Normalizer.fit(x, "standardize")
    model = fitted(normalizer.apply(x.copy()), y, covariance=covariance)
    raw = fitted(x, y, covariance=covariance)
    assert model.estimates(normalizer) == pytest.approx(raw.estimates(), rel=1e-9, abs=1e-12)
    assert raw.estimates()["mean_1_0"] == pytest.approx(x[y == 1, 0].mean())
    assert raw.estimates()["prior_2"] == pytest.approx((y == 2).mean())
    if covariance == "full":
        cross = np.cov(x[y == 1].T, bias=True)[0, 1]
        assert raw.estimates()["covariance_1_01"] == pytest.approx(cross)
    arrays = model.plot_arrays(normalizer)
    assert arrays["gaussian_means"].shape == (3, 2) and arrays["gaussian_covariances"].shape == (3, 2, 2)
    np.testing.assert_allclose(arrays["gaussian_covariances"], raw.covariances(), rtol=1e-9, atol=1e-12)
    assert fitted(*clouds(4), covariance=covariance).plot_arrays() == {}


@KINDS
@pytest.mark.parametrize("priors", ["learned", "equal"])
def test_the_same_parameters_train_by_gradient_descent(covariance: str, priors: str, device: str) -> None:
    """Trained for P(c | x) alone, the likelihood of the labels ends above that of the generative fit."""
    x, y = (backend.current().asarray(a) for a in clouds())
    model = fitted(backend.to_host(x), backend.to_host(y), covariance=covariance, priors=priors)
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.05))
    first = step(x, y).item()
    for _ in range(200):
        last = step(x, y).item()
    assert last < first - 1e-4
    assert model.priors().sum() == pytest.approx(1)


@KINDS
def test_float32_is_close(covariance: str) -> None:
    x, y = clouds()
    wide, narrow = (fitted(x, y, dtype, covariance=covariance) for dtype in (np.float64, np.float32))
    inputs = x.astype(np.float32)
    np.testing.assert_allclose(narrow(inputs).numpy(), wide(x).numpy(), rtol=1e-4, atol=1e-4)


def test_it_is_saved_with_its_fit() -> None:
    x, y = clouds()
    model, other = fitted(x, y), models.GaussianClassifier((2,), 3).to(dtype=np.float64)
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other(x).numpy(), model(x).numpy())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("damage", "covariance", "which"),
    [
        ("constant", "full", "class 0"),
        ("constant", "diagonal", "class 0"),
        ("constant", "shared", "the shared"),
        ("dependent", "full", "class 0"),
        ("dependent", "shared", "the shared"),
        ("few", "full", "class 2"),
    ],
)
def test_a_singular_covariance_names_the_class_and_the_remedy(
    damage: str, covariance: str, which: str, dtype: type, device: str
) -> None:
    x, y = clouds(3)
    if damage == "constant":
        x[:, 1] = 0.1
    elif damage == "dependent":
        x[:, 2] = 2 * x[:, 0] - x[:, 1] / 3 + 5
    else:
        keep = (y != 2) | (np.cumsum(y == 2) <= 3)
        x, y = x[keep], y[keep]
    with pytest.raises(UserError, match=f"{which}.*singular.*regularization above 0"):
        fitted(x, y, dtype, covariance=covariance)
    assert np.isfinite(fitted(x, y, dtype, covariance=covariance, regularization=0.1).estimates()["mean_0_0"])


def test_a_class_without_samples_is_said() -> None:
    x, y = clouds()
    with pytest.raises(UserError, match="class 1 has no sample"):
        fitted(x[y != 1], y[y != 1])


def test_numbers_are_no_labels() -> None:
    x, y = clouds()
    with pytest.raises(UserError, match="needs class labels"):
        fitted(x, y[:, None] * 1.0)


def test_settings_out_of_range_are_refused() -> None:
    for settings in ({"covariance": "round"}, {"priors": "flat"}, {"regularization": -1.0}):
        with pytest.raises(ValueError, match="covariance is full, shared or diagonal"):
            models.GaussianClassifier((2,), 3, **settings)
