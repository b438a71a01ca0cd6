"""Every schedule against PyTorch's, with and without a warm-up."""

import warnings

import pytest

from dlcourse import optim, registry

TOTAL = 40

# Ours, and PyTorch's for the same number of steps after the warm-up.
PEERS = {
    "constant": (optim.ConstantSchedule, {}, lambda s, o, n: s.LambdaLR(o, lambda step: 1.0)),
    "step": (optim.StepSchedule, {"step_size": 7, "gamma": 0.3}, lambda s, o, n: s.StepLR(o, 7, 0.3)),
    "multi_step": (
        optim.MultiStepSchedule,
        {"milestones": [5, 21], "gamma": 0.2},
        lambda s, o, n: s.MultiStepLR(o, [5, 21], 0.2),
    ),
    "exponential": (optim.ExponentialSchedule, {"gamma": 0.9}, lambda s, o, n: s.ExponentialLR(o, 0.9)),
    "cosine": (optim.CosineSchedule, {"final": 0.1}, lambda s, o, n: s.CosineAnnealingLR(o, n, eta_min=0.05)),
    "one_cycle": (
        optim.OneCycleSchedule,
        {"pct_start": 0.4, "div_factor": 10.0, "final_div_factor": 100.0},
        lambda s, o, n: s.OneCycleLR(
            o, 0.5, n, pct_start=0.4, div_factor=10, final_div_factor=100, cycle_momentum=False
        ),
    ),
    "one_cycle_linear": (
        optim.OneCycleSchedule,
        {"anneal_strategy": "linear", "three_phase": True},
        lambda s, o, n: s.OneCycleLR(o, 0.5, n, anneal_strategy="linear", three_phase=True, cycle_momentum=False),
    ),
    "linear": (
        optim.LinearSchedule,
        {"start": 0.5, "final": 0.1, "total_iters": 17},
        lambda s, o, n: s.LinearLR(o, 0.5, 0.1, total_iters=17),
    ),
    "polynomial": (optim.PolynomialSchedule, {"power": 2.0}, lambda s, o, n: s.PolynomialLR(o, n, 2.0)),
    "warm_restarts": (
        optim.WarmRestartsSchedule,
        {"period": 5, "period_mult": 2, "final": 0.1},
        lambda s, o, n: s.CosineAnnealingWarmRestarts(o, 5, 2, eta_min=0.05),
    ),
    "cyclic": (
        optim.CyclicSchedule,
        {"low": 0.2, "step_size_up": 4, "step_size_down": 7, "mode": "triangular2"},
        lambda s, o, n: s.CyclicLR(o, 0.1, 0.5, 4, 7, "triangular2", cycle_momentum=False),
    ),
}
EACH = pytest.mark.parametrize("name", PEERS)


def rates_of(torch, make) -> list[float]:
    """What a PyTorch scheduler gives for a learning rate of 0.5."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of its own closed forms and of steps past the end
        scheduler = make(torch.optim.lr_scheduler, optimizer)
        rates = []
        for _ in range(TOTAL):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if len(rates) < TOTAL:
                scheduler.step()
    return rates


@EACH
def test_each_step_has_pytorchs_rate(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    kind, settings, peer = PEERS[name]
    schedule = kind(TOTAL, **settings)
    expected = rates_of(torch, lambda schedulers, optimizer: peer(schedulers, optimizer, TOTAL))
    assert [0.5 * schedule.factor(k) for k in range(TOTAL)] == pytest.approx(expected, rel=1e-12)


def test_warm_up_then_cosine_is_pytorchs_sequence() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")

    def sequence(schedulers, optimizer):
        warm = schedulers.LinearLR(optimizer, start_factor=1 / 10, end_factor=1.0, total_iters=9)
        cosine = schedulers.CosineAnnealingLR(optimizer, TOTAL - 9)
        return schedulers.SequentialLR(optimizer, [warm, cosine], [9])

    schedule = optim.CosineSchedule(TOTAL, warmup=9)
    assert [0.5 * schedule.factor(k) for k in range(TOTAL)] == pytest.approx(rates_of(torch, sequence), rel=1e-9)


@EACH
@pytest.mark.parametrize("warmup", [1, 5, TOTAL, 10 * TOTAL])
def test_warm_up_grows_linearly_into_the_schedule(name: str, warmup: int) -> None:
    kind, settings, _ = PEERS[name]
    schedule, plain = kind(TOTAL, **settings, warmup=warmup), kind(max(TOTAL - warmup, 1), **settings)
    first = plain.factor(0)
    for k in range(TOTAL):
        expected = first * (k + 1) / (warmup + 1) if k < warmup else plain.factor(k - warmup)
        assert schedule.factor(k) == pytest.approx(expected, rel=1e-12)
        assert schedule.factor(k) > 0 or name == "cosine"


def test_the_ends() -> None:
    cosine = optim.CosineSchedule(10, final=0.2)
    assert cosine.factor(0) == 1 and cosine.factor(10) == pytest.approx(0.2) and cosine.factor(99) == pytest.approx(0.2)
    cycle = optim.OneCycleSchedule(100)
    assert cycle.factor(0) == pytest.approx(1 / 25) and max(map(cycle.factor, range(100))) == pytest.approx(1)
    assert cycle.factor(99) == pytest.approx(1 / 25e4) == pytest.approx(cycle.factor(200))
    assert optim.ExponentialSchedule(100, gamma=0.95, every=20).factor(40) == pytest.approx(0.95**2)


@EACH
def test_a_training_of_one_step(name: str) -> None:
    kind, settings, _ = PEERS[name]
    assert 0 < kind(1, **settings).factor(0) <= 1


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (optim.ConstantSchedule, {"total_steps": 0}),
        (optim.ConstantSchedule, {"total_steps": 5, "warmup": -1}),
        (optim.StepSchedule, {"total_steps": 5, "step_size": 0}),
        (optim.StepSchedule, {"total_steps": 5, "step_size": 1, "gamma": 0.0}),
        (optim.MultiStepSchedule, {"total_steps": 5, "milestones": [0]}),
        (optim.MultiStepSchedule, {"total_steps": 5, "milestones": [1], "gamma": 0.0}),
        (optim.ExponentialSchedule, {"total_steps": 5, "gamma": -1.0}),
        (optim.ExponentialSchedule, {"total_steps": 5, "gamma": 0.5, "every": 0}),
        (optim.CosineSchedule, {"total_steps": 5, "final": 1.5}),
        (optim.OneCycleSchedule, {"total_steps": 5, "pct_start": 2.0}),
        (optim.OneCycleSchedule, {"total_steps": 5, "div_factor": 0.0}),
        (optim.OneCycleSchedule, {"total_steps": 5, "anneal_strategy": "no"}),
        (optim.LinearSchedule, {"total_steps": 5, "start": -1.0}),
        (optim.PolynomialSchedule, {"total_steps": 5, "power": -1.0}),
        (optim.WarmRestartsSchedule, {"total_steps": 5, "period": 0}),
        (optim.CyclicSchedule, {"total_steps": 5, "low": 2.0}),
        (optim.CyclicSchedule, {"total_steps": 5, "mode": "square"}),
        (optim.RangeTestSchedule, {"total_steps": 5, "first": 2.0, "last": 1.0}),
        (optim.PlateauSchedule, {"total_steps": 5, "factor": 1.0}),
        (optim.PlateauSchedule, {"total_steps": 5, "patience": -1}),
    ],
)
def test_settings_out_of_range_are_refused(kind: type, settings: dict) -> None:
    with pytest.raises(ValueError, match="has to"):
        kind(**settings)


def test_a_config_builds_each() -> None:
    for name, (kind, settings, _) in PEERS.items():
        built = registry.build(
            "schedule", {"name": name.removesuffix("_linear"), **settings, "warmup": 3}, total_steps=TOTAL
        )
        assert type(built) is kind and built.factor(20) == kind(TOTAL, **settings, warmup=3).factor(20)


def test_the_range_test_grows_by_the_same_factor_each_step() -> None:
    schedule = optim.RangeTestSchedule(50, first=1e-6, last=10.0)
    rates = [schedule.factor(k) for k in range(50)]
    ratios = [b / a for a, b in zip(rates, rates[1:], strict=False)]
    assert rates[0] == pytest.approx(1e-6) and rates[-1] == pytest.approx(10)
    assert ratios == pytest.approx([ratios[0]] * 49)


@pytest.mark.parametrize("settings", [{}, {"mode": "max", "threshold_mode": "abs"}, {"cooldown": 3, "threshold": 0.1}])
def test_a_plateau_falls_where_pytorchs_does(settings: dict) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    values = [5.0, 4.0, 4.0, 3.9, 3.95, 3.9, 3.9, 3.9, -1.0, -1.0, -0.99, float("nan"), -1.0, -1.05, 7.0, 7.0, 7.0, 7.0]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, **settings)
    schedule = optim.PlateauSchedule(100, factor=0.5, patience=1, warmup=2, **settings)
    for epoch, value in enumerate(values, 1):
        peer.step(value)
        schedule.observe(value, 2 + epoch)
        assert schedule.factor(2 + epoch) == optimizer.param_groups[0]["lr"]
        if epoch == 9:
            state, schedule = (
                schedule.state_dict(),
                optim.PlateauSchedule(100, factor=0.5, patience=1, warmup=2, **settings),
            )
            schedule.load_state_dict(state)
    assert len(schedule.drops) >= 2
