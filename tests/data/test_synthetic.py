"""Synthetic data sets: what the lecture says of them, and that a seed alone draws them."""

import numpy as np
import pytest

from dlcourse import registry
from dlcourse.errors import ConfigError

CASES = {
    "westwood_rent": {},
    "polynomial_curve": {"test_range": [1, 2], "test_samples": 30},
    "gaussian_classes": {},
    "spirals": {},
    "gaussian_ring": {"samples": 2000},
    "synthetic_images": {"samples": 40, "image_size": 12},
    "gaussian_samples": {},
    "adding_problem": {},
    "sine_waves": {},
    "reversed_strings": {},
    "date_formats": {},
    "sine_curve": {},
}
FROM_FILES = {"csv", "arrays", "cifar10", "mnist", "fashion_mnist", "digits", "text", "image_folder", "series", "typos"}
WITHOUT_DRAWS = {"constant"}


def load(name, config_seed=0, **parameters):
    return registry.build("data", {"name": name, **CASES[name], **parameters}).load(config_seed)


def test_every_data_set_is_tested():
    """Every one is either here or in the test file of its own."""
    ours = {n for n in registry.names("data") if registry.lookup("data", n).__module__.startswith("dlcourse.")}
    assert ours == set(CASES) | FROM_FILES | WITHOUT_DRAWS


@pytest.mark.parametrize("name", CASES)
def test_the_seed_draws_it_and_its_own_goes_before_the_configs(name):
    first, again, other, own = load(name, 1), load(name, 1), load(name, 2), load(name, 2, seed=1)
    for part in ("x", "y"):
        np.testing.assert_array_equal(getattr(first, part), getattr(again, part))
        np.testing.assert_array_equal(getattr(first, part), getattr(own, part))
    assert (first.x != other.x).any()


@pytest.mark.parametrize("name", CASES)
def test_more_samples_keep_the_first_ones(name):
    few, many = load(name, samples=20), load(name, samples=50)
    np.testing.assert_array_equal(few.x, many.x[:20])
    np.testing.assert_array_equal(few.y, many.y[:20])


@pytest.mark.parametrize("name", CASES)
def test_shapes_types_and_names_belong_together(name):
    data = load(name)
    assert len(data.x) == len(data.y)
    if data.task == "classification":
        assert data.y.dtype == np.int64 and data.y.ndim == (2 if data.pairs else 1)
        assert set(data.y.flat) <= set(range(len(data.class_names)))
    else:
        assert data.y.dtype == np.float64 and data.y.ndim == (3 if name == "sine_waves" else 2)
    if data.tokens:
        assert data.x.dtype == np.int64 and not data.feature_names
    elif data.x.ndim == 2:
        assert data.x.dtype == np.float64
        assert len(data.feature_names) == len(data.feature_units) == data.x.shape[1]


def test_rents_are_those_of_the_lecture():
    rents = load("westwood_rent")
    assert rents.x.shape == rents.y.shape == (100, 1)
    assert 500 <= rents.x.min() < 600 and 1300 < rents.x.max() <= 1400
    assert 1000 < rents.y.min() < 2200 and 4500 < rents.y.max() < 6200


@pytest.mark.parametrize("name", ["westwood_rent", "polynomial_curve", "sine_curve"])
def test_targets_scatter_about_the_curve_by_the_noise(name):
    data = load(name, samples=20_000)
    residual = data.y - data.curve(data.x)
    assert abs(residual.mean()) < 4 * data.noise / np.sqrt(20_000)
    assert residual.std() == pytest.approx(data.noise, rel=0.03)
    exact = load(name, noise=0.0)
    np.testing.assert_array_equal(exact.y, exact.curve(exact.x))


def test_a_sine_curve_is_the_sum_of_its_waves():
    data = load("sine_curve", frequencies=[0.5, 2], amplitudes=[2, -1], noise=0.0, x_range=[-1, 1])
    np.testing.assert_allclose(data.y, 2 * np.sin(np.pi * data.x) - np.sin(4 * np.pi * data.x), atol=1e-12)
    assert data.x.min() < -0.9 and data.x.max() > 0.9
    for wrong in ({"frequencies": []}, {"amplitudes": [1.0]}, {"x_range": [1, 0]}):
        with pytest.raises(ConfigError, match=f"data.{next(iter(wrong))}: expected"):
            load("sine_curve", **wrong)


def test_the_polynomial_is_the_homeworks_with_extrapolation_in_its_test_part():
    data = load("polynomial_curve")
    x = np.linspace(-1, 2, 7)[:, None]
    np.testing.assert_allclose(data.curve(x), x - 2 * x**2 + x**3, atol=1e-12)
    assert data.x.shape == (200, 1) and data.x.min() >= 0 and data.x.max() <= 1
    assert data.test[0].shape == (30, 1) and data.test[0].min() >= 1 and data.test[0].max() <= 2
    assert data.true_parameters["theta_2"] == -2
    plain = registry.build("data", {"name": "polynomial_curve"}).load(0)
    assert plain.test is None
    np.testing.assert_array_equal(plain.x, data.x)


def test_gaussian_classes_have_their_moments_and_priors():
    data = load("gaussian_classes", samples=60_000, priors=[1, 2, 1])
    true = data.true_parameters
    for j in range(3):
        members = data.x[data.y == j]
        assert len(members) / len(data.x) == pytest.approx(true[f"prior_{j}"], abs=0.01)
        np.testing.assert_allclose(members.mean(axis=0), [true[f"mean_{j}_0"], true[f"mean_{j}_1"]], atol=0.05)
        expected = [[true[f"covariance_{j}_{a}{b}"] for b in range(2)] for a in range(2)]
        np.testing.assert_allclose(np.cov(members.T), expected, atol=0.06)


def test_the_clouds_of_a_ring_are_alike():
    data = load("gaussian_ring", modes=5, radius=3.0, std=0.1)
    means = np.stack([data.x[data.y == j].mean(axis=0) for j in range(5)])
    np.testing.assert_allclose(np.linalg.norm(means, axis=1), 3, atol=0.02)
    np.testing.assert_allclose(
        np.linalg.norm(means - np.roll(means, 1, axis=0), axis=1), 6 * np.sin(np.pi / 5), atol=0.03
    )
    assert (data.x - means[data.y]).std() == pytest.approx(0.1, rel=0.05)


def test_spirals_wind_but_do_not_meet():
    data = load("spirals", noise=0.0, samples=900)
    assert np.hypot(*data.x.T).max() <= 1
    outer = np.hypot(*data.x.T) > 0.3
    x, y = data.x[outer], data.y[outer]
    apart = np.linalg.norm(x[:, None] - x[None], axis=2)[y[:, None] != y[None]]
    assert apart.min() > 0.1
    # What a line could do: the classes' means are almost the same.
    assert np.abs([data.x[data.y == c].mean(axis=0) for c in range(3)]).max() < 0.35


def test_estimation_samples_are_their_own_targets():
    data = load("gaussian_samples", samples=50_000, mean=3, sigma=2)
    assert data.task == "estimation" and data.x is data.y
    assert data.x.mean() == pytest.approx(3, abs=0.05) and data.x.var() == pytest.approx(4, abs=0.1)
    assert data.true_parameters == {"mean": 3, "sigma": 2, "variance": 4}


class TestImages:
    def test_layout(self):
        data = load("synthetic_images", samples=23, classes=7, image_size=9, channels=1)
        assert data.x.shape == (23, 9, 9, 1) and data.x.dtype == np.uint8
        assert len(data.class_names) == 7
        assert data.x.mean() == pytest.approx(128, abs=5)

    def test_chunks_follow_one_another(self):
        from dlcourse.data import synthetic_images

        few, many = (load("synthetic_images", samples=n, image_size=4) for n in (1100, 2100))
        assert synthetic_images._CHUNK < 1100
        np.testing.assert_array_equal(few.x, many.x[:1100])
        assert (many.x[1024:2048] != many.x[:1024]).any()

    def test_patterns_are_mirror_symmetric(self):
        data = load("synthetic_images", noise=0.0, shift=0)
        np.testing.assert_array_equal(data.x, data.x[:, :, ::-1])

    def test_negatives_stand_on_the_other_side_of_gray(self):
        positive = load("synthetic_images", noise=0.0, shift=0, negatives=0.0).x.astype(int)
        negative = load("synthetic_images", noise=0.0, shift=0, negatives=1.0).x.astype(int)
        inside = (positive > 0) & (positive < 255) & (negative > 0) & (negative < 255)
        assert np.abs(positive + negative - 256)[inside].max() <= 1

    def test_a_small_net_learns_what_a_linear_classifier_cannot(self):
        pytest.importorskip("sklearn", reason="scikit-learn judges how hard the images are")
        from sklearn.linear_model import RidgeClassifier
        from sklearn.neural_network import MLPClassifier

        data = load("synthetic_images", samples=2500, image_size=16, channels=3)
        x, y = (data.x.reshape(2500, -1) - 128.0) / 60, data.y
        linear = RidgeClassifier(1000).fit(x[:2000], y[:2000]).score(x[2000:], y[2000:])
        net = MLPClassifier(64, max_iter=6, batch_size=50, early_stopping=False, random_state=0)
        with np.errstate(all="ignore"), pytest.warns(UserWarning, match="Maximum iterations"):
            accuracy = net.fit(x[:2000], y[:2000]).score(x[2000:], y[2000:])
        assert 0.3 < linear < 0.75 and accuracy > 0.9


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("polynomial_curve", {"x_range": [1, 0]}, "data.x_range"),
        ("polynomial_curve", {"coefficients": []}, "data.coefficients"),
        ("polynomial_curve", {"test_range": None, "test_samples": 5}, "data.test_range, which is missing"),
        ("westwood_rent", {"area_range": [500, 500]}, "data.area_range"),
        ("gaussian_classes", {"means": [[0, 0], [1]]}, "data.means"),
        ("gaussian_classes", {"means": [[0, 0], [1, 1]]}, "expected 2 matrices of 2 x 2"),
        ("gaussian_classes", {"covariances": [[[1, 2], [2, 1]]] * 3}, r"covariances\[0\]: not symmetric positive"),
        ("gaussian_classes", {"covariances": [[[1, 0.5], [0, 1]]] * 3}, "not symmetric positive"),
        ("gaussian_classes", {"priors": [1, 1]}, "data.priors"),
        ("gaussian_classes", {"priors": [0, 0, 0]}, "data.priors"),
    ],
)
def test_parameters_that_cannot_be_are_refused(name, parameters, message):
    with pytest.raises(ConfigError, match=message):
        load(name, **parameters)
