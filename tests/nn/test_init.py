"""Initial weights: the stated distribution, PyTorch's gains, and the seed."""

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.backend import random
from dlcourse.nn import init

SHAPE = (400, 5, 5, 12)  # fan_in 300, fan_out 10,000
FAN_IN, FAN_OUT = 300, 10_000

# The variance that each states.
VARIANCES = {
    "uniform": (lambda: init.uniform(SHAPE, -2.0, 1.0), 9 / 12),
    "normal": (lambda: init.normal(SHAPE, 1.0, 0.3), 0.09),
    "xavier_uniform": (lambda: init.xavier_uniform(SHAPE, gain=3.0), 9 * 2 / (FAN_IN + FAN_OUT)),
    "xavier_normal": (lambda: init.xavier_normal(SHAPE), 2 / (FAN_IN + FAN_OUT)),
    "kaiming_uniform": (lambda: init.kaiming_uniform(SHAPE, nonlinearity="relu"), 2 / FAN_IN),
    "kaiming_uniform-default": (lambda: init.kaiming_uniform(SHAPE, a=5**0.5), 1 / (3 * FAN_IN)),
    "kaiming_normal": (lambda: init.kaiming_normal(SHAPE, mode="fan_out", nonlinearity="relu"), 2 / FAN_OUT),
    "kaiming_normal-leaky": (lambda: init.kaiming_normal(SHAPE, a=0.5), 2 / 1.25 / FAN_IN),
    "lecun_uniform": (lambda: init.lecun_uniform(SHAPE), 1 / FAN_IN),
    "lecun_normal": (lambda: init.lecun_normal(SHAPE), 1 / FAN_IN),
}
EACH = pytest.mark.parametrize("name", VARIANCES)


@EACH
def test_mean_variance_and_shape_of_the_distribution(name: str) -> None:
    draw, variance = VARIANCES[name]
    weights = draw()
    assert weights.shape == SHAPE and weights.dtype == np.float32
    # 120,000 draws: the standard deviation of a sample variance is below 0.5 % of it.
    assert weights.var() == pytest.approx(variance, rel=0.025)
    center = {"uniform": -0.5, "normal": 1.0}.get(name, 0.0)
    assert abs(weights.mean() - center) < 5 * (variance / weights.size) ** 0.5
    largest = np.abs(weights - center).max() / variance**0.5
    assert largest <= 3**0.5 * 1.0001 if "uniform" in name else largest > 3.5


@EACH
def test_the_same_seed_gives_the_same_weights_and_the_next_draw_others(name: str, device: str) -> None:
    draw, _ = VARIANCES[name]
    random.manual_seed(7)
    first, second = (backend.to_host(draw()) for _ in range(2))
    random.manual_seed(7)
    np.testing.assert_array_equal(backend.to_host(draw()), first)
    assert not np.array_equal(first, second)
    random.manual_seed(8)
    assert not np.array_equal(backend.to_host(draw()), first)


def test_a_generator_of_ones_own() -> None:
    draws = [init.normal((3, 2), generator=random.generator(5, "mine")) for _ in range(2)]
    np.testing.assert_array_equal(*draws)


def test_weights_lie_on_the_current_device(device: str) -> None:
    assert backend.of(init.orthogonal((3, 3))).kind == device


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (30, 30), (10, 3, 3, 4), (60, 3, 3, 4)])
def test_orthogonal_rows_or_columns(shape: tuple) -> None:
    matrix = init.orthogonal(shape, gain=2.0).reshape(shape[0], -1).astype(np.float64)
    rows, columns = matrix.shape
    product = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    np.testing.assert_allclose(product, 4 * np.eye(min(rows, columns)), atol=2e-6)


def test_orthogonal_has_no_preferred_sign() -> None:
    assert {float(np.sign(init.orthogonal((3, 3))[0, 0])) for _ in range(20)} == {-1.0, 1.0}


def test_fixed_values() -> None:
    assert not init.zeros((2, 3)).any()
    assert (init.constant((2, 3), 0.5) == 0.5).all()
    np.testing.assert_array_equal(init.identity((2, 3), gain=3.0), [[3, 0, 0], [0, 3, 0]])


def test_gains_are_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    for name in ("linear", "sigmoid", "tanh", "relu", "selu"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert init.calculate_gain("leaky_relu", 0.3) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.3))


def test_fans_of_a_linear_layer_are_in_and_out() -> None:
    assert init.fans((10, 3)) == (3, 10)
    assert init.fans(SHAPE) == (FAN_IN, FAN_OUT)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="two axes"):
        init.kaiming_normal((5,))
    with pytest.raises(ValueError, match="two axes"):
        init.orthogonal((5,))
    with pytest.raises(ValueError, match="matrix"):
        init.identity((2, 2, 2))
    with pytest.raises(ValueError, match="no gain is known for 'rleu'"):
        init.calculate_gain("rleu")
    with pytest.raises(ValueError, match="fan_in or fan_out"):
        init.kaiming_normal((2, 2), mode="fan")
