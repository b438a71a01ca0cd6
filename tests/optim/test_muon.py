"""Muon and Lion, which PyTorch's table of optimizers does not compare."""

import numpy as np
import pytest

from dlcourse import backend, optim
from dlcourse.autograd import Parameter

SHAPES = [(6, 4), (4, 9), (5, 5)]


def matrices(dtype: type = np.float64) -> list[Parameter]:
    rng = np.random.default_rng(0)
    return [Parameter(backend.current().asarray(rng.normal(size=shape).astype(dtype))) for shape in SHAPES]


def test_the_iteration_gives_about_orthogonal_matrices(device: str) -> None:
    params = matrices()
    muon = optim.Muon(params, ns_steps=8)
    for p in params:
        values = np.linalg.svd(backend.to_host(muon.orthogonal(p.data)), compute_uv=False)
        assert 0.65 < values.min() and values.max() < 1.25


@pytest.mark.parametrize(
    "settings", [{}, {"nesterov": False}, {"adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.0}]
)
def test_twenty_steps_are_pytorchs_but_for_bfloat16(settings: dict, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    params = matrices(np.float32)
    peers = [torch.tensor(p.numpy().copy(), requires_grad=True) for p in params]
    optimizer, peer = optim.Muon(params, lr=0.02, **settings), torch.optim.Muon(peers, lr=0.02, **settings)
    start = [p.numpy().copy() for p in params]
    for step in range(20):
        rng = np.random.default_rng(step)
        for p, q in zip(params, peers, strict=True):
            p.grad = rng.normal(size=p.shape)
            q.grad = torch.tensor(p.grad.numpy().copy())
        optimizer.step()
        peer.step()
    for p, q, first in zip(params, peers, start, strict=True):
        moved = np.linalg.norm(p.numpy() - first)
        assert np.linalg.norm(p.numpy() - q.detach().numpy()) < 0.02 * moved


def test_only_matrices(device: str) -> None:
    params = [*matrices(), Parameter(np.zeros(3, "float32"))]
    with pytest.raises(
        ValueError, match="Muon takes parameters with 2 or more axes, got some with 1; .*another optimizer"
    ):
        optim.Muon(params[3:])


@pytest.mark.parametrize(
    "settings", [{"ns_steps": 0}, {"ns_coefficients": (1.0, 2.0)}, {"adjust_lr_fn": "no"}, {"eps": -1}]
)
def test_settings_out_of_range_are_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match="has to"):
        optim.Muon(matrices(), **settings)


def test_frozen_matrices_stay_and_a_state_goes_on(device: str) -> None:
    params, others = matrices(), matrices()
    first, second = optim.Muon(params), optim.Muon(others)
    for step in range(6):
        for pair in zip(params, others, strict=True):
            for p in pair:
                p.grad = np.random.default_rng(step).normal(size=p.shape)
        params[1].requires_grad = others[1].requires_grad = step % 2 == 0
        first.step()
        if step == 3:
            state = first.state_dict()
            for p, q in zip(params, others, strict=True):
                q.data[...] = p.data
            second.load_state_dict(state)
        if step > 3:
            second.step()
    for p, q in zip(params, others, strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_lion_is_its_equations(device: str) -> None:
    (p, *_), (q, *_) = matrices(), matrices()
    optimizer, weight = optim.Lion([p], lr=0.01, betas=(0.8, 0.9), weight_decay=0.3), q.numpy().copy()
    mean = np.zeros_like(weight)
    for step in range(10):
        grad = np.random.default_rng(step).normal(size=weight.shape)
        p.grad = grad
        optimizer.step()
        weight = weight * (1 - 0.01 * 0.3) - 0.01 * np.sign(0.8 * mean + 0.2 * grad)
        mean = 0.9 * mean + 0.1 * grad
    np.testing.assert_allclose(p.numpy(), weight, rtol=1e-12)
