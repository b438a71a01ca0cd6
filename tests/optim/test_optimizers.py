"""Every optimizer step for step against PyTorch's, and what all optimizers have in common."""

import contextlib
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, nn, optim, registry
from dlcourse.autograd import Parameter
from dlcourse.errors import CheckpointError

SHAPES = [(3, 4), (4,), (1, 2, 3)]

PEERS = {
    "sgd": (optim.SGD, "SGD", {"lr": 0.1}),
    "sgd-decay": (optim.SGD, "SGD", {"lr": 0.1, "weight_decay": 0.05}),
    "momentum": (optim.SGD, "SGD", {"lr": 0.1, "momentum": 0.9}),
    "momentum-decay": (optim.SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}),
    "nesterov": (optim.SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
    "adam": (optim.Adam, "Adam", {}),
    "adam-decay": (optim.Adam, "Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    "adamw": (optim.AdamW, "AdamW", {"lr": 0.01}),
    "adamw-decay": (optim.AdamW, "AdamW", {"lr": 0.01, "weight_decay": 0.5}),
    "adagrad": (optim.Adagrad, "Adagrad", {}),
    "adagrad-decay": (optim.Adagrad, "Adagrad", {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.1}),
    "rmsprop": (optim.RMSprop, "RMSprop", {}),
    "adadelta": (optim.Adadelta, "Adadelta", {}),
    "adadelta-decay": (optim.Adadelta, "Adadelta", {"rho": 0.8, "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
    "adagrad-lr-decay": (
        optim.Adagrad,
        "Adagrad",
        {"lr_decay": 0.1, "initial_accumulator_value": 0.3, "maximize": True},
    ),
    "adam-amsgrad": (optim.Adam, "Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}),
    "adam-maximize": (optim.Adam, "Adam", {"lr": 0.01, "maximize": True}),
    "adamw-amsgrad": (optim.AdamW, "AdamW", {"lr": 0.01, "amsgrad": True, "maximize": True}),
    "adamax": (optim.Adamax, "Adamax", {"weight_decay": 0.1}),
    "asgd": (optim.ASGD, "ASGD", {"lr": 0.01, "lambd": 0.1, "t0": 3.0, "weight_decay": 0.1}),
    "dampening": (optim.SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    "lion": (optim.Lion, None, {"lr": 0.01, "weight_decay": 0.1}),
    "nadam": (optim.NAdam, "NAdam", {"lr": 0.01, "weight_decay": 0.1}),
    "nadam-decoupled": (optim.NAdam, "NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    "radam": (optim.RAdam, "RAdam", {"lr": 0.01, "weight_decay": 0.1}),
    "radam-decoupled": (
        optim.RAdam,
        "RAdam",
        {"betas": (0.8, 0.9), "weight_decay": 0.1, "decoupled_weight_decay": True},
    ),
    "rmsprop-centered": (optim.RMSprop, "RMSprop", {"centered": True, "momentum": 0.8, "weight_decay": 0.1}),
    "rprop": (optim.Rprop, "Rprop", {"etas": (0.4, 1.3), "step_sizes": (1e-3, 0.5)}),
    "sgd-maximize": (optim.SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "maximize": True}),
    "rmsprop-momentum": (optim.RMSprop, "RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.8, "weight_decay": 0.1}),
}
EACH = pytest.mark.parametrize("name", PEERS)


def parameters(dtype: type = np.float32) -> list[Parameter]:
    rng = np.random.default_rng(0)
    return [Parameter(backend.current().asarray(rng.normal(size=s), dtype=dtype)) for s in SHAPES]


@contextlib.contextmanager
def numbers_of(dtype: type) -> Iterator[None]:
    """PyTorch's NAdam and ASGD keep some numbers in the default type."""
    import torch

    torch.set_default_dtype({np.float64: torch.float64, np.float32: torch.float32}[dtype])
    yield
    torch.set_default_dtype(torch.float32)


def gradients(step: int) -> list[np.ndarray]:
    rng = np.random.default_rng(100 + step)
    return [rng.normal(size=s) * 10.0 ** rng.integers(-3, 2) for s in SHAPES]


def descend(optimizer: optim.Optimizer, params: list[Parameter], steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        for p, grad in zip(params, gradients(step), strict=True):
            p.grad = grad
        optimizer.step()


@EACH
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_thirty_steps_are_pytorchs(name: str, dtype: type, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    ours, theirs, settings = PEERS[name]
    if theirs is None:
        pytest.skip("PyTorch has no such optimizer")
    params = parameters(dtype)
    peers = [torch.tensor(p.numpy().copy(), requires_grad=True) for p in params]
    settings = {"lr": 0.01, **settings}
    with numbers_of(dtype):
        optimizer, peer = ours(params, **settings), getattr(torch.optim, theirs)(peers, **settings)
    start = optimizer.lr
    # Both round each step; thirty steps of a few roundings each.
    tolerance = {np.float64: 1e-13, np.float32: 4e-6}[dtype]
    for step in range(30):
        optimizer.lr = peer.param_groups[0]["lr"] = start * (1 + step % 3)
        for p, q, grad in zip(params, peers, gradients(step), strict=True):
            p.grad = grad
            q.grad = torch.tensor(grad.astype(dtype))
        optimizer.step()
        with numbers_of(dtype):
            peer.step()
        for p, q in zip(params, peers, strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance)


def test_defaults_are_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    for name in ("Adam", "AdamW", "Adagrad", "RMSprop"):
        defaults = getattr(torch.optim, name)([torch.zeros(1, requires_grad=True)]).defaults
        made = vars(getattr(optim, name)([Parameter(np.zeros(1))]))
        shared = {"lr", "betas", "eps", "weight_decay", "alpha", "momentum"} & made.keys() & defaults.keys()
        assert {key: made[key] for key in shared} == {key: defaults[key] for key in shared}
        assert {"lr", "eps", "weight_decay"} <= shared


@EACH
def test_state_goes_on_exactly(name: str, device: str) -> None:
    kind, _, settings = PEERS[name]
    settings = {"lr": 0.01, **settings}
    through, half = parameters(), parameters()
    descend(kind(through, **settings), through, range(10))
    first = kind(half, **settings)
    descend(first, half, range(5))
    saved = first.state_dict()
    assert all(isinstance(array, np.ndarray) for array in saved["arrays"].values())
    resumed = [Parameter(backend.current().asarray(p.numpy())) for p in half]
    second = kind(resumed, **settings)
    second.load_state_dict(saved)
    descend(first, half, range(5, 10))  # must not reach into what was saved
    descend(second, resumed, range(5, 10))
    for a, b, c in zip(through, half, resumed, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        np.testing.assert_array_equal(a.numpy(), c.numpy())
    assert second.steps == 10


@EACH
def test_a_step_only_reads_the_gradient(name: str) -> None:
    kind, _, settings = PEERS[name]
    params = parameters()
    optimizer = kind(params, **{"lr": 0.01, **settings})
    descend(optimizer, params, range(1))
    for p, grad in zip(params, gradients(0), strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), grad.astype(np.float32))


@EACH
def test_a_step_takes_no_large_array(name: str) -> None:
    kind, _, settings = PEERS[name]
    weight = Parameter(np.ones(1 << 20, dtype=np.float32))
    optimizer = kind([weight], **{"lr": 0.01, **settings})
    weight.grad = np.ones(1 << 20, dtype=np.float32)
    optimizer.step()
    tracemalloc.start()
    optimizer.step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * 2**20, "two buffers of half a MiB are all that a step needs, the parameters are 4 MiB"


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (optim.SGD, {"lr": -0.1}),
        (optim.SGD, {"lr": float("nan")}),
        (optim.SGD, {"lr": float("inf")}),
        (optim.SGD, {"lr": 0.1, "momentum": -0.9}),
        (optim.SGD, {"lr": 0.1, "weight_decay": -1}),
        (optim.SGD, {"lr": 0.1, "nesterov": True}),
        (optim.Adam, {"betas": (1.0, 0.9)}),
        (optim.Adam, {"betas": (0.9, -0.1)}),
        (optim.Adam, {"eps": -1e-8}),
        (optim.AdamW, {"weight_decay": -0.1}),
        (optim.Adagrad, {"eps": -1}),
        (optim.RMSprop, {"alpha": 1.5}),
        (optim.RMSprop, {"momentum": -1}),
    ],
)
def test_settings_out_of_range_are_refused(kind: type, settings: dict) -> None:
    with pytest.raises(ValueError, match="has to|have to|needs"):
        kind(parameters(), **settings)


def test_no_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one parameter"):
        optim.SGD([], lr=0.1)


@pytest.mark.parametrize("params", [np.ones(3), ["weight"], [np.ones(2)]], ids=["array", "names", "arrays"])
def test_what_is_no_parameter_is_refused(params) -> None:
    with pytest.raises(ValueError, match=r"takes parameters, such as model.parameters\(\), got a"):
        optim.SGD(params, lr=0.1)


def test_a_foreign_state_is_refused_and_nothing_changed() -> None:
    adam, sgd = optim.Adam(parameters()), optim.SGD(parameters(), lr=0.1, momentum=0.9)
    with pytest.raises(CheckpointError, match="velocity"):
        adam.load_state_dict(sgd.state_dict())
    small = optim.Adam(parameters()[:1])
    with pytest.raises(CheckpointError, match="shape"):
        adam.load_state_dict(small.state_dict())
    assert adam.steps == 0


def test_moving_the_model_after_making_the_optimizer_is_said() -> None:
    model = nn.Linear(2, 3)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    model.to(dtype=np.float64)
    with pytest.raises(RuntimeError, match="make the optimizer after"):
        optimizer.step()


def test_moving_the_model_to_where_it_is_changes_nothing() -> None:
    model = nn.Linear(2, 3)
    optimizer, before = optim.SGD(model.parameters(), lr=0.1), model.weight.numpy().copy()
    model(dl.tensor(np.ones((4, 2), "f"))).sum().backward()
    model.to(model.weight.device, dtype="float32")
    optimizer.step()
    np.testing.assert_allclose(model.weight.numpy(), before - 0.4, rtol=1e-5)


def test_a_config_builds_each() -> None:
    for name in ("sgd", "adam", "adamw", "adagrad", "rmsprop"):
        made = registry.build("optimizer", {"name": name, "lr": 0.25}, params=parameters())
        assert made.lr == 0.25 and made.steps == 0 and not made.closed_form
