"""Parameter groups, step for step against PyTorch's, and how a training step records them."""

import copy

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, nn, optim
from dlcourse import functional as F
from dlcourse.autograd import Parameter
from dlcourse.errors import CheckpointError
from tests.optim.test_optimizers import EACH, PEERS, descend, gradients, numbers_of, parameters

OWN = {"lr": 0.003}


def grouped(name: str, params: list) -> list[dict]:
    """The first parameter by itself, the others with a rate of their own, and no decay."""
    others = {**OWN, "weight_decay": 0.0} if "weight_decay" in PEERS[name][2] else OWN
    return [{"params": params[0]}, {"params": params[1:], **others}]


@EACH
def test_groups_move_as_pytorchs(name: str, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    ours, theirs, settings = PEERS[name]
    if theirs is None:
        pytest.skip("PyTorch has no such optimizer")
    settings, params = {"lr": 0.01, **settings}, parameters(np.float64)
    peers = [torch.tensor(p.numpy().copy(), requires_grad=True) for p in params]
    with numbers_of(np.float64):
        optimizer = ours(grouped(name, params), **settings)
        peer = getattr(torch.optim, theirs)(grouped(name, peers), **settings)
    assert [group["lr"] for group in optimizer.param_groups] == [group["lr"] for group in peer.param_groups]
    for step in range(20):
        for side in (optimizer, peer):
            side.param_groups[1]["lr"] = 0.003 * (1 + step % 3)
        for i, (p, q, grad) in enumerate(zip(params, peers, gradients(step), strict=True)):
            skip = i == step % 5
            p.grad, q.grad = (None, None) if skip else (grad, torch.tensor(grad))
        optimizer.step()
        with numbers_of(np.float64):
            peer.step()
        for p, q in zip(params, peers, strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-12, atol=1e-12)
        if step == 10:
            optimizer.load_state_dict(optimizer.state_dict())


@EACH
def test_groups_go_on_exactly(name: str, device: str) -> None:
    kind, _, settings = PEERS[name]
    settings = {"lr": 0.01, **settings}
    params = parameters()
    first = kind(grouped(name, params), **settings)
    descend(first, params, range(5))
    others = [Parameter(backend.current().asarray(p.numpy())) for p in params]
    second = kind(grouped(name, others), **settings)
    second.load_state_dict(first.state_dict())
    twin, twins = copy.deepcopy((first, params))
    for optimizer, each in ((first, params), (second, others), (twin, twins)):
        descend(optimizer, each, range(5, 10))
    for a, b, c in zip(params, others, twins, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        np.testing.assert_array_equal(a.numpy(), c.numpy())


def test_a_group_is_written_to_and_checked() -> None:
    params = parameters()
    optimizer = optim.SGD(grouped("sgd", params), lr=0.1)
    first, second = optimizer.param_groups
    assert optimizer.lr == 0.1 and second["lr"] == 0.003 and second["params"] == params[1:]
    assert set(first) == {*"params lr momentum dampening weight_decay nesterov maximize".split()}
    second["momentum"] = 0.9
    descend(optimizer, params, range(1))
    assert list(optimizer.members[1].state) == ["velocity"] and not optimizer.members[0].state
    first["initial_lr"] = 0.5
    assert optimizer.param_groups[0]["initial_lr"] == 0.5 and "ParamGroup(1 parameters" in repr(first)
    for name, value, word in [("momentum", -1, "momentum"), ("lr", -1, "lr"), ("momentun", 1, "did you mean")]:
        with pytest.raises(ValueError, match=word):
            first[name] = value
    with pytest.raises(ValueError, match="add_param_group"):
        first["params"] = []
    with pytest.raises(ValueError, match=r"param_groups\[i\]"):
        optimizer.lr = 0.3
    assert "2 groups" in repr(optimizer)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda a, b: optim.SGD([{"params": [a]}, {"params": [a]}], lr=1.0), "more than one group"),
        (lambda a, b: optim.SGD([{"params": [a]}, b], lr=1.0), "a parameter group is"),
        (lambda a, b: optim.SGD([{"param": [a]}], lr=1.0), "a parameter group is"),
        (lambda a, b: optim.SGD([{"params": [a], "momentun": 1}], lr=1.0), "did you mean 'momentum'"),
        (lambda a, b: optim.SGD([{"params": [a], "lr": -1}], lr=1.0), "lr has to"),
        (lambda a, b: optim.SGD([{"params": [], "lr": 1}], lr=1.0), "at least one"),
        (lambda a, b: optim.SGD([{"params": [a], "optimizer": "adam"}], lr=1.0), "optimizer is a class"),
        (
            lambda a, b: optim.SGD([{"params": [a, b], "optimizer": optim.Muon}], lr=1.0),
            "Muon takes parameters with 2 or more axes",
        ),
    ],
)
def test_wrong_groups_are_refused(make, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        make(*parameters()[:2])


def test_a_state_of_other_groups_is_refused() -> None:
    one, two = optim.Adam(parameters()), optim.Adam(grouped("adam", parameters()))
    with pytest.raises(CheckpointError, match="parameter groups"):
        two.load_state_dict(one.state_dict())


@EACH
def test_a_group_that_is_added_later_begins_then(name: str, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    ours, theirs, settings = PEERS[name]
    if theirs is None:
        pytest.skip("PyTorch has no such optimizer")
    settings, params = {"lr": 0.01, **settings}, parameters(np.float64)
    peers = [torch.tensor(p.numpy().copy(), requires_grad=True) for p in params]
    with numbers_of(np.float64):
        optimizer, peer = ours(params[:1], **settings), getattr(torch.optim, theirs)(peers[:1], **settings)
    for step in range(12):
        if step == 4:
            optimizer.add_param_group({"params": params[1:], **OWN})
            peer.add_param_group({"params": peers[1:], **OWN})
        for p, q, grad in zip(params, peers, gradients(step), strict=True):
            p.grad, q.grad = grad, torch.tensor(grad)
        optimizer.step()
        with numbers_of(np.float64):
            peer.step()
        for p, q in zip(params, peers, strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="more than one group"):
        optimizer.add_param_group({"params": params[1:]})
    assert len(optimizer.param_groups) == 2


X, Y = np.random.default_rng(0).normal(size=(8, 6)).astype("f"), np.arange(8) % 3


def trained(make, numbers: str = "float32", steps: int = 8, **settings) -> np.ndarray:
    dl.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype=numbers)
    matrices, rest = ([p for p in model.parameters() if (p.ndim == 2) is flat] for flat in (True, False))
    step = dl.TrainStep(model, F.cross_entropy, make(matrices, rest), **settings)
    step(X, Y)
    for _ in range(steps):
        step(X, Y)
    return np.concatenate([backend.to_host(p.master).reshape(-1) for p in model.parameters()])


MIXED = {
    name: lambda m, r, name=name: PEERS[name][0](grouped(name, [*m, *r]), **{"lr": 0.01, **PEERS[name][2]})
    for name in PEERS
} | {"muon": lambda m, r: optim.AdamW([{"params": m, "optimizer": optim.Muon, "lr": 0.02}, {"params": r}], lr=0.01)}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("numbers", ["float32", "float16"])
def test_recorded_steps_are_the_eager_ones(name: str, numbers: str, device: str, monkeypatch) -> None:
    settings = {"schedule": optim.CosineSchedule(20), "clip_norm": 1.0, "ema": 0.9}
    recorded = trained(MIXED[name], numbers, **settings)
    monkeypatch.setenv("DLCOURSE_CAPTURE", "0")
    np.testing.assert_array_equal(recorded, trained(MIXED[name], numbers, **settings))


def test_a_schedule_multiplies_each_groups_rate(device: str) -> None:
    params = [Parameter(backend.current().asarray(np.ones(2, "f"))) for _ in range(2)]
    optimizer = optim.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 0.4}], lr=0.1)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = params

        def forward(self, x):
            return x @ (self.a + self.b)

    step = dl.TrainStep(Model(), lambda out, y: out.sum(), optimizer, schedule=optim.StepSchedule(9, 1, gamma=0.5))
    for _ in range(2):
        step(np.ones((1, 2), "f"), np.zeros(1, "f"))
    np.testing.assert_allclose([p.numpy() for p in params], [[1 - 0.15] * 2, [1 - 0.6] * 2], rtol=1e-6)
    assert step.lr_at(1) == 0.05 and step.rates_at(1) == [0.05, 0.2]


def named(package, model, grouped: bool):
    pairs = list(model.named_parameters())
    groups = [{"params": pairs[:1], "lr": 0.5}, {"params": iter(pairs[1:])}]
    return package.SGD(groups if grouped else model.named_parameters(), lr=0.1)


@pytest.mark.parametrize("grouped", [False, True])
def test_parameters_come_with_names_as_pytorchs(grouped: bool, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    models = nn.Linear(2, 3), torch.nn.Linear(2, 3)
    sides = [named(package, model, grouped) for package, model in zip((optim, torch.optim), models, strict=True)]
    more = [{"params": [("scale", p)]} for p in (Parameter(np.ones(2, "f")), torch.ones(2, requires_grad=True))]
    for optimizer, group in zip(sides, more, strict=True):
        optimizer.add_param_group(group)
        with pytest.raises(ValueError, match="names"):
            optimizer.add_param_group(
                {"params": [nn.Linear(1, 1).weight] if optimizer is sides[0] else [torch.ones(1)]}
            )
    ours, theirs = ([group["param_names"] for group in each.param_groups] for each in sides)
    assert ours == theirs and len(ours) == 2 + grouped
    assert [group["param_names"] for group in sides[0].state_dict()["param_groups"]] == ours
    assert len(sides[0].param_groups) == len(ours), "what was refused is not there"


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (lambda m: m, TypeError, "in an order, such as model.parameters.* got a Linear"),
        (lambda m: set(m.parameters()), TypeError, "got a set"),
        (lambda m: dict(m.named_parameters()), TypeError, "got a dict"),
        (lambda m: [{"params": m}], TypeError, "got a Linear"),
        (lambda m: [("weight", m.weight), m.bias], ValueError, "all or none"),
        (lambda m: [(m.weight, "weight")], ValueError, "all or none"),
        (lambda m: [("weight", 1.0)], ValueError, "takes parameters"),
        (lambda m: [{"params": [("w", m.weight)]}, {"params": m.bias}], ValueError, "in all groups, or in none"),
    ],
)
def test_what_is_no_list_of_parameters_is_named(params, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        optim.SGD(params(nn.Linear(2, 2)), lr=0.1)
