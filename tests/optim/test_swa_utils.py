"""Averages of weights, against PyTorch's."""

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import nn, optim
from dlcourse.optim import swa_utils

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")


def nets() -> tuple:
    ours = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).to(dtype="float64")
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)).double()
    theirs.load_state_dict({k: torch.tensor(np.asarray(v)) for k, v in ours.state_dict().items()}, strict=False)
    return ours, theirs


def batches() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(5, 3)) for _ in range(4)]


AVERAGES = {
    "mean": ({}, {}),
    "buffers": ({"use_buffers": True}, {"use_buffers": True}),
    "ema": (
        {"avg_fn": swa_utils.get_ema_avg_fn(0.7)},
        {"avg_fn": torch.optim.swa_utils.get_ema_avg_fn(0.7)},
    ),
    **{
        f"{name} of several": tuple(
            {"multi_avg_fn": getattr(of, f"get_{name}_multi_avg_fn")(*decay)}
            for of in (swa_utils, torch.optim.swa_utils)
        )
        for name, decay in (("ema", (0.7,)), ("swa", ()))
    },
}


@pytest.mark.parametrize("name", AVERAGES)
def test_the_average_and_its_statistics_are_pytorchs(name: str, device: str) -> None:
    ours, theirs = nets()
    rtol = 1e-6 if "several" in name else 1e-9  # PyTorch counts in float32 there
    mine, peer = (
        swa_utils.AveragedModel(ours, **AVERAGES[name][0]),
        torch.optim.swa_utils.AveragedModel(theirs, **AVERAGES[name][1]),
    )
    optimizer, other = optim.SGD(ours.parameters(), lr=0.1), torch.optim.SGD(theirs.parameters(), lr=0.1)
    for x in batches():
        for step, model, tensor in ((optimizer, ours, dl.tensor), (other, theirs, torch.tensor)):
            step.zero_grad()
            (model(tensor(x)) ** 2).sum().backward()
            step.step()
        mine.update_parameters(ours)
        peer.update_parameters(theirs)
    for p, q in zip(mine.parameters(), peer.parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=rtol)
    again = swa_utils.AveragedModel(nets()[0])
    again.load_state_dict(mine.state_dict())
    swa_utils.update_bn([(dl.tensor(x), None) for x in batches()], mine)
    torch.optim.swa_utils.update_bn([(torch.tensor(x), None) for x in batches()], peer)
    x = batches()[0]
    np.testing.assert_allclose(
        mine.eval()(dl.tensor(x)).numpy(), peer.eval()(torch.tensor(x)).detach().numpy(), rtol=rtol
    )
    assert again.n_averaged == mine.n_averaged == 4 and mine.module[1].momentum == 0.1
    np.testing.assert_array_equal(next(again.parameters()).numpy(), next(mine.parameters()).numpy())
    assert "n_averaged=4" in repr(mine) and not mine.training


@pytest.mark.parametrize("settings", [{}, {"anneal_epochs": 4, "anneal_strategy": "linear"}, {"anneal_epochs": 0}])
def test_the_rate_goes_to_its_end_as_pytorchs(settings: dict) -> None:
    model, peer = nn.Linear(1, 1), torch.nn.Linear(1, 1)
    sides = [
        (optim.SGD(model.parameters(), lr=0.3), swa_utils),
        (torch.optim.SGD(peer.parameters(), lr=0.3), torch.optim.swa_utils),
    ]
    schedulers = [module.SWALR(optimizer, 0.05, **settings) for optimizer, module in sides]
    for _ in range(14):
        for (optimizer, _), scheduler in zip(sides, schedulers, strict=True):
            optimizer.step()
            scheduler.step()
        assert schedulers[0].get_last_lr() == pytest.approx(schedulers[1].get_last_lr(), rel=1e-9)


def test_what_is_wrong_is_refused() -> None:
    averaged = swa_utils.AveragedModel(nn.Linear(2, 1))
    with pytest.raises(ValueError, match="has to have the parameters"):
        averaged.update_parameters(nn.Linear(3, 1))
    with pytest.raises(ValueError, match="decay"):
        swa_utils.get_ema_avg_fn(1.5)
    with pytest.raises(ValueError, match="anneal_strategy"):
        swa_utils.SWALR(optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1), 0.1, anneal_strategy="no")
