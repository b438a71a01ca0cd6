"""Clipping by the joint norm."""

import numpy as np
import pytest

from dlcourse import backend, optim
from dlcourse.autograd import FlatParameters, Parameter

SHAPES = [(3, 4), (5,), (2, 2)]


def with_gradients(flat: bool, scale: float = 1.0) -> list[Parameter]:
    params = [Parameter(backend.current().asarray(np.zeros(s, dtype=np.float32))) for s in SHAPES]
    if flat:
        FlatParameters(params)
    for i, p in enumerate(params):
        p.grad = scale * np.random.default_rng(i).normal(size=p.shape)
    return params


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("max_norm", [0.5, 3.0, 1e6, float("inf")])
def test_norm_and_gradients_are_pytorchs(flat: bool, max_norm: float, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    params = with_gradients(flat)
    peers = [torch.zeros(s, requires_grad=True) for s in SHAPES]
    for p, q in zip(params, peers, strict=True):
        q.grad = torch.tensor(p.grad.numpy().copy())
    norm = optim.clip_grad_norm(params, max_norm)
    assert norm.item() == pytest.approx(torch.nn.utils.clip_grad_norm_(peers, max_norm).item(), rel=1e-6)
    assert norm.shape == () and norm.device.startswith(device)
    for p, q in zip(params, peers, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-6)


def test_a_part_of_an_optimizers_parameters_stays_in_its_buffer(device: str) -> None:
    params = with_gradients(flat=False)
    optimizer = optim.SGD(params, lr=1.0)
    saved = params[0].grad.numpy().copy()
    norm = optim.clip_grad_norm(params[1:], 0.1)
    joined = np.concatenate([p.grad.numpy().ravel() for p in params[1:]])
    assert np.linalg.norm(joined) == pytest.approx(0.1, rel=1e-4) and norm.item() > 0.1
    np.testing.assert_array_equal(params[0].grad.numpy(), saved)
    optimizer.step()
    np.testing.assert_allclose(params[1].numpy(), -params[1].grad.numpy())


def test_the_flat_buffer_itself() -> None:
    params = with_gradients(flat=False, scale=100.0)
    flat = FlatParameters(params)
    optim.clip_grad_norm(flat, 1.0)
    assert np.linalg.norm(flat.grad) == pytest.approx(1.0, rel=1e-5)


def test_no_gradient_has_norm_zero() -> None:
    assert optim.clip_grad_norm([Parameter(np.ones(3))], 1.0).item() == 0


def test_nan_is_not_hidden() -> None:
    params = with_gradients(flat=True)
    params[0].grad = np.full(SHAPES[0], np.nan)
    assert np.isnan(optim.clip_grad_norm(params, 1.0).item())
    assert np.isnan(params[1].grad.numpy()).all()


@pytest.mark.parametrize("max_norm", [0.0, -1.0, float("nan")])
def test_a_norm_that_is_not_above_zero_is_refused(max_norm: float) -> None:
    with pytest.raises(ValueError, match="max_norm"):
        optim.clip_grad_norm(with_gradients(flat=True), max_norm)
    with pytest.raises(ValueError, match="at least one parameter"):
        optim.clip_grad_norm([], 1.0)


@pytest.mark.parametrize("flat", [True, False])
def test_values_are_clipped_as_pytorchs(flat: bool, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    params = with_gradients(flat)
    peers = [torch.zeros(s, requires_grad=True) for s in SHAPES]
    for p, q in zip(params, peers, strict=True):
        q.grad = torch.tensor(p.grad.numpy().copy())
    optim.clip_grad_value_(params, 0.7)
    torch.nn.utils.clip_grad_value_(peers, 0.7)
    for p, q in zip(params, peers, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), q.grad.numpy())
    with pytest.raises(ValueError, match="clip_value"):
        optim.clip_grad_value_(params, 0.0)
