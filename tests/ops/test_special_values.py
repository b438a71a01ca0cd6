"""Infinities, huge and tiny numbers, and numbers beside 16 bits: as PyTorch has them."""

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse.autograd import tensor

INF = np.inf
ROWS = np.array([[INF, 1, 2], [-INF, 1, 2], [-INF, -INF, -INF], [INF, INF, 0], [1e30, INF, -INF]], "float32")


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_softmax_of_inf_is_not_a_number(name: str, device: str) -> None:
    with np.errstate(invalid="ignore"):
        y = getattr(F, name)(tensor(ROWS, device=device)).numpy()
    assert np.isnan(y).all(axis=1).tolist() == [True, False, True, True, True]
    assert not np.isnan(y[1]).any()


def test_a_loss_of_inf_is_not_a_number_with_any_reduction(device: str) -> None:
    with np.errstate(invalid="ignore"):
        logits = tensor(ROWS[:1], device=device)
        found = [F.cross_entropy(logits, np.array([1]), reduction=r).numpy().sum() for r in ("mean", "sum", "none")]
    assert np.isnan(found).all()


def test_logsumexp_of_infinities(device: str) -> None:
    with np.errstate(invalid="ignore"):
        y = F.logsumexp(tensor(ROWS[1:4], device=device)).numpy()
    np.testing.assert_allclose(y, [np.logaddexp(1, 2), -INF, INF], rtol=1e-6)


@pytest.mark.parametrize(("a", "b"), [(1e-20, 1e-20), (0.0, 1e-39), (3.0, 1e-12), (1e20, 1e30), (1.0, INF)])
def test_a_quotients_gradient_does_not_overflow_on_the_way(a: float, b: float, device: str) -> None:
    x, y = (tensor(np.array([v], "float32"), requires_grad=True, device=device) for v in (a, b))
    with np.errstate(over="ignore"):
        (x / y).backward(np.array([1.5], "float32"))
    x32, y32 = np.float32(a), np.float32(b)
    np.testing.assert_allclose(y.grad.numpy(), [-1.5 * (x32 / y32 / y32)], rtol=1e-6)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
def test_where_with_a_number_keeps_the_type(kind: str, device: str) -> None:
    x, condition = tensor(np.ones(2), dtype=kind, requires_grad=True, device=device), np.array([True, False])
    for y, wanted in ((F.where(condition, 0.0, x), [0, 1]), (F.where(condition, x, 0), [1, 0])):
        assert y.dtype == x.dtype
        y.sum().backward()
        assert y.numpy().astype("float32").tolist() == wanted
    assert x.grad.dtype == x.dtype
    assert x.grad.numpy().astype("float32").tolist() == [1, 1]
