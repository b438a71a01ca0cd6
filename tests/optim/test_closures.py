"""L-BFGS step for step against PyTorch's; Newton and conjugate gradients against what theory says of a quadratic."""

from pathlib import Path

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, config, nn, optim
from dlcourse import functional as F
from dlcourse.autograd import Parameter
from dlcourse.errors import CheckpointError, ConfigError

SETTINGS = [
    {"line_search_fn": "strong_wolfe"},
    {"lr": 0.02, "max_iter": 10},
    {"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 4},
    {"line_search_fn": "strong_wolfe", "lr": 30.0, "max_iter": 5},
    {"lr": 0.01, "history_size": 2, "max_iter": 6, "max_eval": 3},
]
CLOSURE = [optim.LBFGS, optim.Newton, optim.ConjugateGradient]


def rosenbrock(w, other):
    return 100 * ((w[1:] - w[:-1] ** 2) ** 2).sum() + ((1 - w[:-1]) ** 2).sum() + (other * other).sum()


def start() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=6), rng.normal(size=(2, 3))]


def closure_of(optimizer, params):
    def closure():
        optimizer.zero_grad()
        loss = rosenbrock(*params)
        loss.backward()
        return loss

    return closure


def ours(kind, **settings) -> tuple:
    params = [Parameter(backend.current().asarray(array)) for array in start()]
    optimizer = kind(params, **settings)
    return params, optimizer, closure_of(optimizer, params)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_hundred_iterations_of_lbfgs_and_more_are_pytorchs(settings: dict, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    params, optimizer, closure = ours(optim.LBFGS, **settings)
    peers = [torch.tensor(array, requires_grad=True) for array in start()]
    peer = torch.optim.LBFGS(peers, **settings)
    for _ in range(20 if "max_iter" in settings else 5):
        loss, theirs = optimizer.step(closure), peer.step(closure_of(peer, peers))
        # The valley makes roundings of 1e-16 grow by about ten in two steps.
        assert loss.item() == pytest.approx(theirs.item(), rel=1e-4, abs=1e-9)
        for p, q in zip(params, peers, strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", CLOSURE)
def test_a_state_goes_on_exactly(kind: type, device: str) -> None:
    through, optimizer, closure = ours(kind)
    half, first, half_closure = ours(kind)
    for _ in range(3):
        optimizer.step(closure)
        first.step(half_closure)
    resumed, second, last = ours(kind)
    second.load_state_dict(first.state_dict())
    for p, q in zip(resumed, half, strict=True):
        p.data[...] = q.data
    for _ in range(3):
        optimizer.step(closure)
        second.step(last)
    for p, q in zip(through, resumed, strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    with pytest.raises(CheckpointError):
        optim.SGD(half, lr=1.0, momentum=0.9).load_state_dict(first.state_dict())


def quadratic(n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    root = rng.normal(size=(n, n))
    return root @ root.T + np.eye(n), rng.normal(size=n)


def minimized(kind: type, steps: int, **settings) -> float:
    """How far the weights are from the minimum of a quadratic, after so many steps."""
    a, b = quadratic()
    w = Parameter(backend.current().asarray(np.zeros(len(b))))
    optimizer = kind([w], **settings)

    def closure():
        optimizer.zero_grad()
        loss = (w * (dl.tensor(a) @ w)).sum() / 2 - (w * dl.tensor(b)).sum()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return float(np.abs(w.numpy() - np.linalg.solve(a, b)).max())


def test_newton_solves_a_quadratic_in_a_step(device: str) -> None:
    assert minimized(optim.Newton, 1, tolerance=1e-9) < 1e-6
    assert minimized(optim.Newton, 1, damping=1.0) > 1e-3


@pytest.mark.parametrize("beta", ["fletcher_reeves", "polak_ribiere", "hestenes_stiefel"])
def test_conjugate_gradients_solve_a_quadratic_in_as_many_steps_as_weights(beta: str, device: str) -> None:
    assert minimized(optim.ConjugateGradient, 6, beta=beta, step_by="curvature") < 1e-6
    assert minimized(optim.ConjugateGradient, 40, beta=beta) < 1e-6


def test_the_linear_solver_is_numpys_and_stops_at_negative_curvature(device: str) -> None:
    a, b = quadratic()
    xp = backend.current()
    matrix = xp.asarray(a)
    x = optim.solve_by_cg(lambda v: matrix @ v, xp.asarray(b))
    np.testing.assert_allclose(backend.to_host(x), np.linalg.solve(a, b), rtol=1e-8)
    np.testing.assert_array_equal(backend.to_host(optim.solve_by_cg(lambda v: -v, xp.asarray(b))), b)


@pytest.mark.parametrize("kind", CLOSURE)
def test_each_goes_down_rosenbrocks_valley(kind: type, device: str) -> None:
    params, optimizer, closure = ours(kind)
    costs = [optimizer.step(closure).item() for _ in range(30)]
    assert costs[-1] < 1e-2 * costs[0] and all(np.isfinite(costs))
    assert "taken" in repr(optimizer) and params[0].grad is not None


@pytest.mark.parametrize("kind", CLOSURE)
def test_what_is_frozen_stays(kind: type, device: str) -> None:
    params, optimizer, closure = ours(kind)
    params[1].requires_grad = False
    before = params[1].numpy().copy()
    optimizer.step(closure)
    optimizer.step(closure)
    np.testing.assert_array_equal(params[1].numpy(), before)


@pytest.mark.parametrize("kind", CLOSURE)
def test_misuse_is_refused(kind: type) -> None:
    params, optimizer, _ = ours(kind)
    with pytest.raises(TypeError, match="needs a closure"):
        optimizer.step()
    with pytest.raises(ValueError, match="one parameter group"):
        kind([{"params": params[0]}, {"params": params[1]}])
    with pytest.raises(ValueError, match="16 bits"):
        kind(nn.Linear(2, 2).to(dtype="bfloat16").parameters())
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="not to be clipped"):
        dl.TrainStep(model, F.cross_entropy, kind(model.parameters()), clip_norm=1.0)


RUN = {
    "data": {"name": "spirals", "samples": 90, "split": {"val": 0.3}},
    "model": {"name": "mlp", "hidden": [8]},
    "loss": "cross_entropy",
    "metrics": ["accuracy"],
    "precision": "float64",
    "train": {"epochs": 10, "batch_size": "full", "l2": 1e-4, "eval_every": 0},
}


@pytest.mark.parametrize(
    "spec", [{"name": "lbfgs", "line_search_fn": "strong_wolfe"}, "newton", "conjugate_gradient"], ids=str
)
def test_a_config_trains_by_it(spec, tmp_path) -> None:
    given = {**RUN, "optimizer": spec}
    result = dl.run(given, out=tmp_path, quiet=True, plots=False, device="cpu")
    plain = dl.run(
        {**RUN, "optimizer": {"name": "sgd", "lr": 0.5}}, out=tmp_path, quiet=True, plots=False, device="cpu"
    )
    assert result.history["loss"][-1] < plain.history["loss"][-1]
    again = dl.run(given, out=tmp_path, quiet=True, plots=False, device="cpu")
    assert list(again.history["loss"]) == list(result.history["loss"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.clip_norm": 1.0}, "train.clip_norm: lbfgs searches"),
        ({"precision": "bf16"}, "precision: 16 bits"),
        ({"optimizer.groups": [{"match": "*"}]}, "optimizer.groups: lbfgs takes one step"),
        ({"optimizer.line_search_fn": "backtracking"}, "line_search_fn"),
    ],
)
def test_wrong_configs_are_named(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.from_mapping({**RUN, "optimizer": "lbfgs"}, changes)


def test_a_run_says_how_often_the_cost_was_evaluated(tmp_path: Path) -> None:
    searching = {
        "precision": "float64",
        "data": "constant",
        "model": {"name": "surface", "function": "rosenbrock"},
        "loss": "mean",
        "optimizer": {"name": "lbfgs", "max_iter": 3},
        "train": {"steps": 4, "batch_size": "full", "log_every": 1},
    }
    result = dl.run(searching, out=tmp_path, quiet=True, plots=False, device="cpu")
    assert [event["evaluations"] for event in result.history if event["event"] == "train"] == [3, 6, 9, 12]
