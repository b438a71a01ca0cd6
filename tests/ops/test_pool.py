"""Max pooling of what is no number, or minus infinity, as PyTorch's: value and gradient."""

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F

SETTINGS = [(2, 2, 0), (3, 2, 1), (2, 1, 1)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize(("value", "place"), [(np.nan, 3), (-np.inf, 0), (np.inf, 0)])
def test_a_window_of_one_value(value: float, place: int, dtype: str, device: str) -> None:
    """The gradient goes to the last NaN, and to the first of equal elements."""
    x = dl.tensor(np.full((4, 8, 8, 96), value, dtype), requires_grad=True)  # enough of them for every override
    y = F.max_pool2d(x, 2)
    y.backward(np.ones(y.shape, dtype))
    np.testing.assert_array_equal(y.numpy(), np.full(y.shape, value))
    hit = np.zeros((2, 2))
    hit.reshape(-1)[place] = 1
    np.testing.assert_array_equal(x.grad.numpy()[..., 0], np.tile(hit, (4, 4, 4)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_values_and_gradients_are_those_of_pytorch(settings: tuple, dtype: str, device: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    pool = torch.nn.functional.max_pool2d
    for share in (0.05, 0.6, 0.97):
        values = rng.normal(size=(2, 9, 8, 130)).astype(dtype)
        hit = rng.random(values.shape) < share
        values[hit] = rng.choice([np.nan, -np.inf, -np.inf, np.inf], hit.sum())
        x = dl.tensor(values, requires_grad=True)
        theirs = torch.tensor(values.transpose(0, 3, 1, 2), requires_grad=True)
        y, expected = F.max_pool2d(x, *settings), pool(theirs, *settings)
        dy = rng.normal(size=y.shape).astype(dtype)
        y.backward(dy)
        expected.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
        np.testing.assert_array_equal(y.numpy(), expected.detach().numpy().transpose(0, 2, 3, 1))
        grad = theirs.grad.numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(x.grad.numpy(), grad, rtol=1e-5, atol=1e-5)
