"""``dl.gradcheck`` at kinks: a slope between those on both sides is right, any other is wrong."""

from collections.abc import Callable

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse.autograd import Function, apply
from dlcourse.autograd.check import GradcheckError

TIES = np.zeros((1, 2, 2, 1))
KINKS: dict[str, tuple[Callable, np.ndarray]] = {
    "relu": (F.relu, np.array([0.0, -1.0, 2.0])),
    "relu beside its kink": (F.relu, np.array([3e-7, -3e-7, 1e-9])),
    "abs": (lambda x: x.abs(), np.array([0.0, 1.0])),
    "maximum of equals": (lambda x: F.maximum(x, 1.0), np.array([1.0, 1.0 + 2e-7])),
    "max pooling of equals": (lambda x: F.max_pool2d(x, 2), TIES),
    "leaky relu": (lambda x: F.leaky_relu(x, 0.1), np.array([0.0, -2e-7])),
    "hinge": (lambda x: F.multiclass_hinge(x, np.array([0])), np.array([[1.0, 0.0, 5e-7]])),
    "a number": (lambda x: x * x, np.array(3.0)),
}


@pytest.mark.parametrize("name", KINKS)
def test_a_right_slope_at_a_kink_passes(name: str, device: str) -> None:
    assert dl.gradcheck(*KINKS[name])


class Faulty(Function):
    """ReLU or |x|, with a slope of its own."""

    def __init__(self, value: Callable, slope: Callable):
        self.value, self.slope = value, slope

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return self.value(x)

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return dout * self.slope(self.x)


@pytest.mark.parametrize("at", [0.0, 3e-7, -3e-7, 0.5])
@pytest.mark.parametrize(
    ("value", "slope"),
    [
        (lambda x: np.maximum(x, 0), lambda x: -0.5 + 2 * (x > 0)),
        (lambda x: np.maximum(x, 0), lambda x: 1.2 + 0 * x),
        (np.abs, lambda x: 1.01 * np.where(x >= 0, 1, -1)),
        (lambda x: x * x, lambda x: 2 * x + 1e-4),
    ],
)
def test_a_wrong_slope_at_a_kink_does_not(value: Callable, slope: Callable, at: float) -> None:
    with pytest.raises(GradcheckError):
        dl.gradcheck(lambda x: apply(Faulty(value, slope), x), np.array([at]))


def test_a_random_net_with_kinks_passes_and_a_wrong_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=shape) for shape in ((2, 6, 6, 1), (2, 3, 3, 1), (3, 8))]

    def net(x: dl.Tensor, kernel: dl.Tensor, weight: dl.Tensor) -> dl.Tensor:
        return F.linear(F.max_pool2d(F.relu(F.conv2d(x, kernel)), 2).flatten(1), weight).abs()

    assert dl.gradcheck(net, inputs)
    from dlcourse.autograd.elementwise import ReLU

    right = ReLU.backward
    monkeypatch.setattr(ReLU, "backward", lambda self, dout: right(self, dout) * 1.0001)
    assert not dl.gradcheck(net, inputs, raise_exception=False)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x: x.sum().item(), "got a float, which has no gradient"),
        (lambda x: None, "got None: it lacks a return"),
        (lambda x: (x, x.numpy()), "got a ndarray, which has no gradient"),
        (lambda x: (), "got an empty tuple"),
    ],
)
def test_a_function_that_returns_no_tensor_is_refused(fn, message) -> None:
    with pytest.raises(TypeError, match=f"gradcheck: expected fn to return a tensor or a tuple of them, {message}"):
        dl.gradcheck(fn, np.ones(3))


def test_a_list_of_tensors_is_checked_as_a_tuple_is() -> None:
    assert dl.gradcheck(lambda x: [x, x * 2], np.ones(3))


def test_the_message_names_the_input_by_its_number() -> None:
    wrong = Faulty(lambda x: x * x, lambda x: 3 * x)
    with pytest.raises(GradcheckError, match=r"gradcheck: input 1 of shape \(2, 2\): 4 of 4 elements differ"):
        dl.gradcheck(lambda a, b: a.sum() + apply(wrong, b), [np.ones(3), np.ones((2, 2))])


@pytest.mark.parametrize("change", [lambda x: x.data.__iadd__(1), lambda x: x.numpy().__iadd__(np.random.rand())])
def test_a_function_that_is_another_each_time_is_no_case_of_a_kink(change: Callable) -> None:
    def wrong(x: dl.Tensor) -> dl.Tensor:
        change(x)
        return apply(Faulty(lambda x: x * x, lambda x: 7 * x), x)

    with pytest.raises(GradcheckError, match=r"computed twice .* it changes them, or draws at random"):
        dl.gradcheck(wrong, np.ones(3))
    assert not dl.gradcheck(wrong, np.ones(3), raise_exception=False)
