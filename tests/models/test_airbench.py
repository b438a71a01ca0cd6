"""The net of the 94 % recipe: its parts, and its training beside PyTorch's."""

from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, models, nn, optim
from dlcourse.backend import random
from dlcourse.errors import ShapeError
from dlcourse.models.airbench import whitening_filters

STEPS, BIAS_STEPS, BATCH = 6, 4, 24


def net(**settings: Any) -> models.AirBench:
    random.manual_seed(3)
    return models.AirBench((32, 32, 3), 10, **settings)


def images(count: int) -> np.ndarray:
    """Neighboring pixels and channels are alike."""
    rng = np.random.default_rng(1)
    return (rng.normal(size=(count, 32, 32, 3)).cumsum(1).cumsum(2) / 8 + rng.normal(size=(count, 1, 1, 1))).astype(
        "f4"
    )


def test_whitened_patches_are_uncorrelated_with_variance_one(device: str) -> None:
    x = images(40)
    filters = backend.to_host(whitening_filters(x, 2, 1e-9))
    assert filters.shape == (24, 2, 2, 3)
    np.testing.assert_array_equal(filters[12:], -filters[:12])
    out = nn.Conv2d(3, 24, 2, bias=False)
    out.weight.data = whitening_filters(x, 2, 1e-9)
    y = out(dl.tensor(x)).numpy()[..., :12].reshape(-1, 12).astype("f8")
    np.testing.assert_allclose(y.T @ y / len(y), np.eye(12), atol=2e-3)


def test_the_initial_weights_are_the_recipes(device: str) -> None:
    model = net()
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == [
        "whiten.weight", *(f"layers.{i}.norm{k}.weight" for i in (1, 2, 3) for k in (1, 2))
    ]  # fmt: skip
    assert model.head.weight.numpy().std(ddof=1) == pytest.approx(1, rel=1e-5)
    group = model.layers[2]
    x = dl.tensor(images(2)[:, :8, :8].repeat(22, axis=3)[..., :64])
    np.testing.assert_allclose(group.conv1(x).numpy()[..., :64], x.numpy(), rtol=1e-5, atol=1e-5)
    assert np.abs(group.conv1.weight.numpy()[64:]).max() <= 1 / np.sqrt(64 * 9)
    assert (group.norm1.eps, group.norm1.momentum) == (1e-12, 0.4)


@pytest.mark.parametrize(("shape", "channels"), [((12, 32, 3), [64, 256, 256]), ((32, 32), [8])])
def test_what_leaves_nothing_is_refused(shape: tuple, channels: list[int]) -> None:
    with pytest.raises(ShapeError, match="airbench: "):
        models.AirBench(shape, 10, channels)


def test_gray_images_and_other_sizes(device: str) -> None:
    model = models.AirBench((28, 28, 1), 10, [4, 8])
    assert model(dl.tensor(np.zeros((2, 28, 28, 1), "f4"))).shape == (2, 10) and model.head.in_features == 32


def recipe(model: models.AirBench) -> dl.TrainStep:
    """As ``configs/08_cnn/cifar10_94.yaml`` has it."""
    named = dict(model.named_parameters())
    norms = [p for name, p in named.items() if "norm" in name]
    filters = [p for p in named.values() if p.ndim == 4]
    decay = 2e-6 * BATCH
    groups = [
        {"params": [named["whiten.bias"]], "lr": 0.053, "weight_decay": decay / 0.053},
        {"params": norms, "lr": 0.053, "weight_decay": decay / 0.053},
        {"params": [named["head.weight"]], "lr": 0.67, "weight_decay": decay / 0.67},
        {"params": filters, "optimizer": optim.Muon, "lr": 0.24, "momentum": 0.6, "ns_steps": 3, "weight_decay": 0.0,
         "normalize_weights": True},
    ]  # fmt: skip
    optimizer = optim.SGD(groups, lr=0.053, momentum=0.85, nesterov=True)
    bias = optim.LinearSchedule(STEPS, total_iters=BIAS_STEPS)
    loss = nn.CrossEntropyLoss(reduction="sum", label_smoothing=0.2)
    return dl.TrainStep(model, loss, optimizer, schedule=optim.LinearSchedule(STEPS), group_schedules={0: bias})


def test_a_training_is_pytorchs(device: str) -> None:
    """Jordan's recipe written with PyTorch: the same losses and weights, in float64, up to rounding."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    model = net(channels=[8, 16, 16])
    x, labels = images(STEPS * BATCH).reshape(STEPS, BATCH, 32, 32, 3).astype("f8"), np.arange(STEPS * BATCH) % 10
    labels = labels.reshape(STEPS, BATCH)
    model.to(dtype="float64")
    model.adapt(x.reshape(-1, 32, 32, 3)[:50], labels[0])
    peer = {name: torch.tensor(_theirs(p.numpy())) for name, p in model.named_parameters()}
    step = recipe(model)
    losses = [step(x[i], labels[i]).item() for i in range(STEPS)]

    for name, p in peer.items():
        p.requires_grad = not (
            name == "whiten.weight" or name.endswith("norm1.weight") or name.endswith("norm2.weight")
        )
    running = {
        name[: -len("weight")]: (torch.zeros(len(p), dtype=p.dtype), torch.ones(len(p), dtype=p.dtype))
        for name, p in peer.items()
        if "norm" in name and name.endswith("weight")
    }
    velocity = {name: torch.zeros_like(p) for name, p in peer.items()}
    expected = []
    for i in range(STEPS):
        loss = _peer_loss(torch, peer, running, torch.tensor(x[i]).permute(0, 3, 1, 2), torch.tensor(labels[i]))
        loss.backward()
        expected.append(loss.item())
        with torch.no_grad():
            for name, p in peer.items():
                if p.grad is not None:
                    _peer_step(torch, name, p, velocity[name], i)
                    p.grad = None
    np.testing.assert_allclose(losses, expected, rtol=1e-7)
    for name, p in model.named_parameters():
        np.testing.assert_allclose(_theirs(p.numpy()), peer[name].detach().numpy(), rtol=1e-5, atol=1e-7, err_msg=name)
    for name, (mean, variance) in running.items():
        norm = dict(model.named_modules())[name[:-1]]
        np.testing.assert_allclose(backend.to_host(norm.running_mean), mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(backend.to_host(norm.running_var), variance, rtol=1e-4)


def _theirs(array: np.ndarray) -> np.ndarray:
    return array.transpose(0, 3, 1, 2).copy() if array.ndim == 4 else array.copy()


def _peer_loss(torch: Any, p: dict, running: dict, x: Any, labels: Any) -> Any:
    functional = torch.nn.functional

    def norm(h: Any, name: str) -> Any:
        statistics = running[f"{name}."]
        h = functional.batch_norm(h, *statistics, p[f"{name}.weight"], p[f"{name}.bias"], True, 0.4, 1e-12)
        return functional.gelu(h)

    h = functional.gelu(functional.conv2d(x, p["whiten.weight"], p["whiten.bias"]))
    for i in (1, 2, 3):
        h = functional.max_pool2d(functional.conv2d(h, p[f"layers.{i}.conv1.weight"], padding=1), 2)
        h = norm(h, f"layers.{i}.norm1")
        h = norm(functional.conv2d(h, p[f"layers.{i}.conv2.weight"], padding=1), f"layers.{i}.norm2")
    h = functional.max_pool2d(h, 3).flatten(1)
    logits = h @ p["head.weight"].T / h.shape[1]
    return functional.cross_entropy(logits, labels, label_smoothing=0.2, reduction="sum")


def _peer_step(torch: Any, name: str, p: Any, velocity: Any, i: int) -> None:
    """One parameter's: Muon for filters, else SGD; the whitening bias has a shorter schedule, after which it stays."""
    if p.ndim == 4:
        velocity.mul_(0.6).add_(p.grad)
        update = (p.grad + 0.6 * velocity).reshape(len(p), -1)
        p.mul_(len(p) ** 0.5 / p.norm())
        p.sub_(0.24 * (1 - i / STEPS) * _orthogonal(torch, update).view_as(p))
        return
    length = BIAS_STEPS if name == "whiten.bias" else STEPS
    lr = 0.67 if name.startswith("head") else 0.053
    grad = p.grad + 2e-6 * BATCH / lr * p
    velocity.mul_(0.85).add_(grad)
    p.sub_(lr * max(0.0, 1 - i / length) * (grad + 0.85 * velocity))


def _orthogonal(torch: Any, x: Any) -> Any:
    a, b, c = 3.4445, -4.7750, 2.0315
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(3):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x
