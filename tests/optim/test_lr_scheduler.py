"""PyTorch's schedulers by hand: the rate of each group after each step, and what a state brings back."""

import inspect
import warnings

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import nn, optim
from dlcourse.autograd import Parameter

STEPS = 30
CASES = {
    "StepLR": lambda s, o: s.StepLR(o, 7, 0.3),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [3, 11], 0.2),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.9),
    "ConstantLR": lambda s, o: s.ConstantLR(o, 0.25, 4),
    "LinearLR": lambda s, o: s.LinearLR(o, 0.5, 0.9, 8),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, 12, 2.0),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 9, 0.01),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4, 2, 0.01),
    "LambdaLR": lambda s, o: s.LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 / (t + 1)]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, [lambda t: 1 - 0.02 * t, lambda t: 0.9]),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, [0.3, 0.6], 31),
    "OneCycleLR-three": lambda s, o: s.OneCycleLR(o, 0.3, epochs=4, steps_per_epoch=8, three_phase=True),
    "OneCycleLR-line": lambda s, o: s.OneCycleLR(o, 0.3, 31, anneal_strategy="linear", div_factor=5.0),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.01, [0.1, 0.2], 4, 3),
    "CyclicLR-range": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, mode="exp_range", gamma=0.95),
    "CyclicLR-own": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, scale_fn=lambda x: 1 / x, scale_mode="cycle"),
    "SequentialLR": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, 1.0, 5), s.CosineAnnealingLR(o, 10), s.ExponentialLR(o, 0.8)], [5, 15]
    ),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, 6), s.ExponentialLR(o, 0.9), s.MultiStepLR(o, [4, 12], 0.5)], optimizer=o
    ),
    "ChainedScheduler-first": lambda s, o: s.ChainedScheduler([s.CosineAnnealingLR(o, 9, 0.01)]),
}
SCHEDULERS = pytest.mark.parametrize("name", CASES)


def optimizer_of(package, parameter, momentum: bool = True):
    groups = [{"params": [parameter()]}, {"params": [parameter()], "lr": 0.2}]
    return package.SGD(groups, lr=0.1, momentum=0.9) if momentum else package.SGD(groups, lr=0.1)


def ours() -> tuple:
    return optim.lr_scheduler, optimizer_of(optim, lambda: Parameter(np.zeros(2, "f")))


def theirs() -> tuple:
    import torch

    return torch.optim.lr_scheduler, optimizer_of(torch.optim, lambda: torch.zeros(2, requires_grad=True))


@SCHEDULERS
@pytest.mark.parametrize("by_hand", [False, True])
def test_each_step_has_pytorchs_rates(name: str, by_hand: bool) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    sides = [ours(), theirs()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch, about its own closed forms
        schedulers = [CASES[name](*side) for side in sides]
        for step in range(STEPS):
            found = []
            for (_, optimizer), scheduler in zip(sides, schedulers, strict=True):
                groups = optimizer.param_groups
                found.append([(g["lr"], g["momentum"], g["initial_lr"]) for g in groups])
                assert scheduler.get_last_lr() == [g["lr"] for g in groups] or (by_hand and step == 6)
                optimizer.step()
                scheduler.step()
                if by_hand and step == 5:
                    groups[0]["lr"] *= 0.5
            np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-12)


@SCHEDULERS
def test_a_state_brings_the_rates_back(name: str) -> None:
    (module, optimizer), (_, other) = ours(), ours()
    first, second = CASES[name](module, optimizer), CASES[name](module, other)
    for _ in range(13):
        first.step()
    second.load_state_dict(first.state_dict())
    other.load_state_dict(optimizer.state_dict())
    for _ in range(10):
        first.step()
        second.step()
        assert first.get_last_lr() == second.get_last_lr() == [g["lr"] for g in other.param_groups]
    assert first.state_dict() == second.state_dict()
    if not name.startswith("Chained"):  # which counts nothing itself, as in PyTorch
        assert first.last_epoch == 23


@pytest.mark.parametrize("settings", [{}, {"mode": "max", "cooldown": 2, "min_lr": [0.03, 0.0]}])
def test_reduce_on_plateau_is_pytorchs(settings: dict) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    sides = [ours(), theirs()]
    schedulers = [module.ReduceLROnPlateau(o, factor=0.5, patience=2, **settings) for module, o in sides]
    for step, value in enumerate([3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 9.0]):
        for (_, optimizer), scheduler in zip(sides, schedulers, strict=True):
            scheduler.step(dl.tensor(value) if step == 3 and optimizer is sides[0][1] else value)
        rates = [scheduler.get_last_lr() for scheduler in schedulers]
        assert rates[0] == rates[1] == [g["lr"] for g in sides[0][1].param_groups]
    again = optim.lr_scheduler.ReduceLROnPlateau(sides[0][1], factor=0.5, patience=2, **settings)
    again.load_state_dict(schedulers[0].state_dict())
    assert again.state_dict() == schedulers[0].state_dict()


def test_a_train_step_takes_the_rate_that_a_scheduler_set(device: str) -> None:
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1)
    step = dl.TrainStep(model, nn.MSELoss(), optimizer)
    x, y = np.ones((4, 2), "f"), np.zeros((4, 1), "f")
    for rate in (0.5, 0.05):
        before = model.bias.numpy().copy()
        out = model(dl.tensor(x)).numpy()
        step(x, y)
        np.testing.assert_allclose(model.bias.numpy(), before - rate * 2 * out.mean(), rtol=1e-5)
        scheduler.step()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda s, o: s.StepLR(o, 0), "step_size"),
        (lambda s, o: s.StepLR(5, 1), "expected an optimizer"),
        (lambda s, o: s.StepLR(o, 3, last_epoch=4), "initial_lr"),
        (lambda s, o: s.LambdaLR(o, [abs]), "one function for each of 2 groups"),
        (lambda s, o: s.LinearLR(o, 0.0), "start_factor"),
        (lambda s, o: s.ConstantLR(o, 2.0), "factor"),
        (lambda s, o: s.CosineAnnealingLR(o, 0), "T_max"),
        (lambda s, o: s.OneCycleLR(o, 0.1), "total_steps"),
        (lambda s, o: s.OneCycleLR(o, [0.1], 9), "2 groups"),
        (lambda s, o: s.CyclicLR(o, 0.1, 0.2, mode="no"), "mode"),
        (lambda s, o: s.ReduceLROnPlateau(o, mode="no"), "mode"),
        (lambda s, o: s.ReduceLROnPlateau(o, factor=1.5), "factor"),
        (lambda s, o: s.SequentialLR(o, [s.StepLR(o, 1)], [3]), "milestones"),
        (lambda s, o: s.SequentialLR(o, [s.ChainedScheduler([s.StepLR(o, 1)])], []), "got a ChainedScheduler"),
        (lambda s, o: s.ChainedScheduler([]), "at least one"),
        (lambda s, o: s.ChainedScheduler([s.StepLR(o, 1), s.ReduceLROnPlateau(o)]), "got a ReduceLROnPlateau"),
        (lambda s, o: s.ChainedScheduler([s.StepLR(o, 1), s.StepLR(ours()[1], 1)]), "of this optimizer"),
        (lambda s, o: s.ChainedScheduler([s.StepLR(o, 1)], ours()[1]), "of this optimizer"),
        (lambda s, o: s.ChainedScheduler([s.StepLR(o, 1)]).load_state_dict({"_schedulers": []}), "1 schedulers"),
        (lambda s, o: s.CyclicLR(optimizer_of(optim, lambda: Parameter(np.zeros(2)), False), 0.1, 0.2) and None, None),
    ],
)
def test_what_is_wrong_is_refused(make, word: str | None) -> None:
    if word is None:
        make(*ours())  # SGD has a momentum, if 0: it cycles too, as in PyTorch
        return
    with pytest.raises(ValueError, match=word):
        make(*ours())


def test_a_cycle_that_is_over_says_so() -> None:
    module, optimizer = ours()
    scheduler = module.OneCycleLR(optimizer, 0.1, 3)
    for _ in range(3):
        scheduler.step()
    with pytest.raises(ValueError, match="3 steps"):
        scheduler.step()


@pytest.mark.parametrize("name", [name for name in optim.lr_scheduler.__all__ if name != "LRScheduler"])
def test_arguments_and_defaults_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    ours, theirs = (
        {p.name: p.default for p in inspect.signature(getattr(module, name)).parameters.values()}
        for module in (optim.lr_scheduler, torch.optim.lr_scheduler)
    )
    assert list(ours) == list(theirs) and ours == theirs
