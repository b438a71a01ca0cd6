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
    ],
)
def test_settings_out_of_range_are_refused(kind: type, settings: dict) -> None:
    with pytest.raises(ValueError, match="has to"):
        kind(**settings)


def test_a_config_builds_each() -> None:
    for name, (kind, settings, _) in PEERS.items():
        built = registry.build("schedule", {"name": name, **settings, "warmup": 3}, total_steps=TOTAL)
        assert type(built) is kind and built.factor(20) == kind(TOTAL, **settings, warmup=3).factor(20)
