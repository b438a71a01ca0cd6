"""Digits: the tails of activations, and sums of many numbers."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from dlcourse import backend, nn
from dlcourse import functional as F
from dlcourse.autograd import Tensor, tensor
from dlcourse.backend.kernels import activation
from dlcourse.backend.kernels.linear import column_sums

# From -100 to 100, where float32's result is no subnormal number, and densely around 0.
X = np.unique(np.concatenate([np.linspace(-87, 87, 1741), np.linspace(-1, 1, 401), 10.0 ** np.arange(-8, 0)]))


def logistic(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, np.exp(np.minimum(x, 0)), 1) / (1 + np.exp(-np.abs(x)))


def normal_cdf(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])


def density(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


# The function, its value, its gradient, and from which x on (a wide range is not float32's for all of them).
EXACT: dict[str, tuple[Callable, Callable, Callable, float]] = {
    "sigmoid": (F.sigmoid, logistic, lambda x: logistic(x) * logistic(-x), -87),
    "log sigmoid": (lambda x: F.sigmoid(x).log(), lambda x: -np.logaddexp(0, -x), lambda x: logistic(-x), -87),
    "silu": (F.silu, lambda x: x * logistic(x), lambda x: logistic(x) * (1 + x * logistic(-x)), -80),
    "softplus": (F.softplus, lambda x: np.logaddexp(x, 0), logistic, -87),
    "elu": (F.elu, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), lambda x: np.exp(np.minimum(x, 0)), -87),
    "tanh": (F.tanh, np.tanh, lambda x: 1 / np.cosh(x) ** 2, -3),
    "gelu": (F.gelu, lambda x: x * normal_cdf(x), lambda x: normal_cdf(x) + x * density(x), -12),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("repeats", [1, 20], ids=["few", "many"])
@pytest.mark.parametrize("name", EXACT)
def test_tails_keep_their_digits(name: str, repeats: int, dtype: str, device: str) -> None:
    """Relative to the value itself, wherever it is; ``many``: from some size on a library takes over."""
    compute, value, slope, smallest = EXACT[name]
    points = X[(X >= smallest) & (X <= (0 if name == "log sigmoid" else -smallest))].astype(dtype)
    x = tensor(np.tile(points, repeats), requires_grad=True)
    y = compute(x)
    y.sum().backward()
    wide = points.astype("f8")
    # float32 rounds its argument's square, which stands in the exponent: 1e-5 of it at -12.
    # softplus is x above its threshold of 20, as PyTorch's.
    tolerance = {"float32": 1e-5 if name == "gelu" else 2e-6, "float64": 3e-10 if name == "softplus" else 2e-12}[dtype]
    with np.errstate(under="ignore"):
        expected, slopes = value(wide), slope(wide)
    np.testing.assert_allclose(y.numpy()[: len(points)], expected, rtol=tolerance, atol=1e-37)
    # Near a zero of the slope its terms cancel.
    away = np.abs(slopes) > (1e-2 if name in ("silu", "gelu") else 0)
    away |= points < -3
    np.testing.assert_allclose(
        x.grad.numpy()[: len(points)][away], slopes[away], rtol=10 * tolerance, atol=1e-37 if name != "tanh" else 1e-7
    )


def test_the_case_that_was_reported(device: str) -> None:
    x = tensor([-20.0, -60.0], requires_grad=True)
    np.testing.assert_allclose(F.sigmoid(x).numpy(), [2.0611537e-09, 8.756511e-27], rtol=1e-6)
    F.sigmoid(x).log().sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1, 1], rtol=1e-6)


@pytest.mark.parametrize("size", [1, 20_000], ids=["few", "many"])
@pytest.mark.parametrize("name", nn.ACTIVATIONS)
def test_no_activation_hides_what_is_no_number(name: str, size: int, device: str) -> None:
    x = np.zeros(size, "f4")
    x[-1] = np.nan
    y = getattr(F, name)(tensor(x)).numpy()
    assert np.isnan(y[-1]) and np.isfinite(y[:-1]).all()


def test_references_and_overrides_have_the_same_tails() -> None:
    x = np.linspace(-12, 12, 40_001).astype("f4")
    expected = x * normal_cdf(x.astype("f8"))
    for compute, tolerance in ((activation.gelu, 1e-5), (activation.gelu.reference, 2e-6)):
        np.testing.assert_allclose(compute(x), expected, rtol=tolerance, atol=1e-30)


@pytest.mark.parametrize("name", ["lstm", "gru"])
@pytest.mark.parametrize("gate", [-10.0, -20.0, -60.0])
@pytest.mark.parametrize("size", [3, 64])
def test_gates_that_are_nearly_shut_let_through_what_they_should(
    name: str, gate: float, size: int, device: str
) -> None:
    gates = {"lstm": 4, "gru": 3}[name]
    x, state = (tensor(np.zeros(shape, "f")) for shape in ((size, 1, 2), (size, size)))
    weights = [tensor(np.zeros((gates * size, width), "f")) for width in (2, size)]
    bias = np.zeros(gates * size, "f")
    bias[size : 2 * size] = gate
    biases = tensor(bias), tensor(np.zeros(gates * size, "f"))
    one = tensor(np.ones((size, size), "f"))
    if name == "lstm":  # the forget gate, on a cell of 1
        _, left = F.lstm(x, state, one, *weights, *biases)
    else:  # the update gate, on a state of 1: h = z h + (1 - z) tanh(0)
        left = F.gru(x, one, *weights, *biases)
    np.testing.assert_allclose(left.numpy(), logistic(np.array(gate)), rtol=1e-6)


MILLION = np.random.default_rng(0).uniform(4.5, 5.5, (1_000_000, 2)).astype("f4")


@pytest.mark.parametrize("numbers", ["random", "equal"])
@pytest.mark.parametrize(
    ("name", "compute", "exact"),
    [
        ("sum", lambda x: x.sum(axis=0), lambda x: x.sum(0)),
        ("mean", lambda x: x.mean(axis=0), lambda x: x.mean(0)),
        ("mean all", lambda x: x.mean(), lambda x: x.mean()),
        ("mean of a transpose", lambda x: x.T.mean(axis=1), lambda x: x.mean(0)),
        ("mean of a part", lambda x: x[::2, :1].mean(), lambda x: x[::2, :1].mean()),
        ("mean of images", lambda x: x.reshape(10, 1000, 50, 4).mean(axis=(0, 1, 2)), lambda x: _images(x)),
        ("var", lambda x: x.var(axis=0), lambda x: x.var(0, ddof=1)),
        ("var all", lambda x: x.var(), lambda x: x.var(ddof=1)),
        ("logsumexp", lambda x: F.logsumexp(x, 0), lambda x: np.log(np.exp(x - 5).sum(0)) + 5),
        ("squares", lambda x: F.half_sse(x, np.zeros_like(MILLION)), lambda x: 0.5 * (x * x).sum()),
        ("mse", lambda x: F.mse_loss(x, np.ones_like(MILLION)), lambda x: ((x - 1) ** 2).mean()),
    ],
)
def test_sums_of_a_million_are_exact_to_float32(name: str, compute, exact, numbers: str) -> None:
    values = MILLION if numbers == "random" else np.full_like(MILLION, 5.1)
    result = compute(Tensor(values)).numpy()
    expected = exact(values.astype("f8"))
    # Equal numbers have their rounding errors all one way; PyTorch's sum of these is off by 6e-7.
    np.testing.assert_allclose(result, expected, rtol=2e-7 if numbers == "random" else 6e-7, atol=1e-9)


def _images(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, 4).mean(0)


def test_gradients_that_are_sums_of_a_million_are_exact_too() -> None:
    bias, weight = (tensor(np.ones(shape, "f"), requires_grad=True) for shape in ((2,), (2, 2)))
    (Tensor(MILLION) + bias).backward(MILLION)
    np.testing.assert_allclose(bias.grad.numpy(), MILLION.sum(0, dtype="f8"), rtol=2e-7)
    bias.grad = None
    F.linear(Tensor(MILLION), weight, bias).backward(MILLION)
    np.testing.assert_allclose(bias.grad.numpy(), MILLION.sum(0, dtype="f8"), rtol=2e-7)
    out = np.empty(2, "f4")
    assert column_sums(MILLION, out) is out


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_layer_and_group_norm_take_their_statistics_in_two_passes(offset: float, device: str) -> None:
    for shape in ((3, 4096), (40, 4096)):
        x = (np.random.default_rng(1).normal(size=shape) + offset).astype("f4")
        wide = x.astype("f8")
        expected = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
        given = backend.current().asarray(x)
        for y in (F.layer_norm(given, 4096), F.group_norm(given, 1)):
            np.testing.assert_allclose(y.numpy(), expected, atol=2e-7 * max(10, offset))


@pytest.mark.parametrize("ratio", [0.0, 15.0, 17.0, 1e6])
@pytest.mark.parametrize("shape", [(131_072, 16), (8192, 64), (1024, 2048), (2003, 7)])
def test_batch_norm_has_the_variance_of_columns_far_from_zero(
    shape: tuple[int, int], ratio: float, device: str
) -> None:
    """By mean squared over variance: the sum of squares serves up to 16."""
    x = (np.random.default_rng(2).normal(size=shape) + ratio**0.5).astype("f4")
    given, mean, variance = map(backend.current().asarray, (x, np.zeros(shape[1], "f4"), np.zeros(shape[1], "f4")))
    F.batch_norm(given, mean, variance, training=True, momentum=1.0)
    np.testing.assert_allclose(backend.to_host(variance), x.astype("f8").var(0, ddof=1), rtol=1e-5)
