"""Which parameters a step moves, step for step against PyTorch: frozen ones, those without gradient, shared ones."""

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, nn, optim
from dlcourse import functional as F
from tests.optim.test_optimizers import EACH, PEERS, SHAPES, numbers_of, parameters

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")


def pairs(name: str) -> tuple:
    """Our optimizer and parameters, PyTorch's optimizer and parameters."""
    ours, theirs, settings = PEERS[name]
    if theirs is None:
        pytest.skip("PyTorch has no such optimizer")
    settings = {"lr": 0.01, **settings}
    params = parameters(np.float64)
    peers = [torch.tensor(backend.to_host(p.data).copy(), requires_grad=True) for p in params]
    with numbers_of(np.float64):
        return ours(params, **settings), params, getattr(torch.optim, theirs)(peers, **settings), peers


def same(params: list, peers: list) -> None:
    for p, q in zip(params, peers, strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-12, atol=1e-12)
        assert (p.grad is None) == (q.grad is None)
        if q.grad is not None:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12, atol=1e-12)


@EACH
@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_freezing_missing_clipping_and_zeroing_is_pytorchs(name: str, seed: int, device: str) -> None:
    rng = np.random.default_rng(seed)
    optimizer, params, peer, peers = pairs(name)
    for step in range(12):
        used = [i for i in range(3) if rng.random() < 0.7]
        for i, frozen in enumerate(rng.random(3) < 0.2):
            params[i].requires_grad, peers[i].requires_grad = not frozen, not frozen
        set_to_none = bool(rng.random() < 0.7)
        optimizer.zero_grad(set_to_none)
        peer.zero_grad(set_to_none)
        for i in used:
            if peers[i].requires_grad:
                weight = rng.normal(size=SHAPES[i])
                (params[i] * params[i] * dl.tensor(weight)).sum().backward()
                (peers[i] * peers[i] * torch.tensor(weight)).sum().backward()
                if rng.random() < 0.3:
                    params[i].grad.data *= 0.5
                    peers[i].grad.mul_(0.5)
        if rng.random() < 0.4 and any(q.grad is not None for q in peers):
            optim.clip_grad_norm(params, 0.5)
            torch.nn.utils.clip_grad_norm_(peers, 0.5)
        for q in peers:  # what is frozen stays, even with a gradient from before
            q.grad = q.grad if q.requires_grad else None
        for p in params:
            if not p.requires_grad:
                p.zero_grad()
        optimizer.step()
        with numbers_of(np.float64):
            peer.step()
        same(params, peers)
        if step == 6:
            optimizer.load_state_dict(optimizer.state_dict())


def test_a_frozen_parameter_with_a_gradient_from_before_stays() -> None:
    optimizer, params, *_ = pairs("momentum-decay")
    sum((p * p).sum() for p in params).backward()
    params[1].requires_grad = False
    before = params[1].numpy().copy()
    optimizer.step()
    np.testing.assert_array_equal(params[1].numpy(), before)


class WithUnused(nn.Module):
    """Layers one after another, and a part that takes no part in the output."""

    def __init__(self, *layers: nn.Module, unused: nn.Module):
        super().__init__()
        self.body, self.unused = nn.Sequential(*layers), unused

    def forward(self, x):
        return self.body(x)


SETTINGS = [{}, {"l1": 0.1, "l2": 0.1}, {"clip_norm": 0.1, "l2": 0.1}, {"ema": 0.9}, {"accumulate": 3, "l2": 0.1}]


@EACH
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_train_step_leaves_what_is_frozen_or_without_gradient(name: str, settings: dict, device: str) -> None:
    kind, _, options = PEERS[name]
    model = WithUnused(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), unused=nn.Linear(2, 2))
    step = dl.TrainStep(model, F.cross_entropy, kind(model.parameters(), **{"lr": 0.1, **options}), **settings)
    x, y = np.random.default_rng(0).normal(size=(6, 4)).astype("f"), np.arange(6) % 3
    step(x, y)
    states = []
    for frozen in (True, True, False):
        model.body[0].weight.requires_grad = not frozen
        before = model.state_dict()
        step(x, y)
        after = model.state_dict()
        states.append({key for key, array in after.items() if (array != before[key]).any()})
    moving = {"body.0.bias", "body.2.weight", "body.2.bias"}
    assert states == [moving, moving, moving | {"body.0.weight"}]
    assert model.unused.weight.grad is None


def test_the_norm_that_is_clipped_and_the_penalty_leave_out_what_has_no_gradient(device: str) -> None:
    """The penalty's gradient of what does not move is in no norm."""
    made = []
    for frozen in (False, True):
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
        for p in model.parameters():
            p.data[...] = 0.5
        if frozen:
            far = nn.Linear(3, 3)
            far.weight.data[...] = 1e6
            model = WithUnused(*model, unused=far)
        step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=1.0), clip_norm=0.01, l2=0.1)
        step(np.eye(3, dtype="f"), np.array([0, 1, 1]))
        made.append((model.body if frozen else model)[1].weight.numpy().copy())
    np.testing.assert_allclose(*made, rtol=1e-6)


def test_a_train_step_whose_optimizer_gets_no_gradient_says_so() -> None:
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(other.parameters(), lr=0.1))
    with pytest.raises(RuntimeError, match="no parameter of the optimizer received a gradient"):
        step(np.eye(3, dtype="f"), np.array([0, 1, 1]))


def layers(device: str) -> tuple:
    ours = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).to(dtype="float64")
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)).double()
    theirs.load_state_dict({key: torch.tensor(array) for key, array in ours.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("split", ["halves", "whole first", "whole last", "twice", "order", "one parameter", "overlap"])
def test_optimizers_that_share_parameters_are_pytorchs(split: str, device: str) -> None:
    """Of the same parameters, of some of them, of the same in another order."""

    def made(model, package) -> list:
        all_ = list(model.parameters())
        chosen = {
            "halves": [all_[:2], all_[2:]], "whole first": [all_, all_[2:]], "whole last": [all_[:2], all_[2:], all_],
            "twice": [all_, all_], "order": [all_, all_[::-1]], "one parameter": [all_, [model[0].bias]],
            "overlap": [all_[:3], all_[1:]],
        }[split]  # fmt: skip
        return [package.SGD(p, lr=0.1, momentum=0.9) for p in chosen]

    ours, theirs = layers(device)
    sides = [(ours, made(ours, optim), dl.tensor), (theirs, made(theirs, torch.optim), torch.tensor)]
    for step in range(4):
        x = np.random.default_rng(step).normal(size=(4, 2))
        for model, optimizers, tensor in sides:
            optimizers[step % len(optimizers)].zero_grad()
            (model(tensor(x)) ** 2).sum().backward()
            for optimizer in optimizers:
                optimizer.step()
        same(list(ours.parameters()), list(theirs.parameters()))


def test_train_steps_that_share_parameters_take_turns(device: str) -> None:
    """Each with its own optimizer and moving average; what one did the other goes on from."""
    trunk, heads = nn.Linear(3, 4), [nn.Linear(4, 2), nn.Linear(4, 2)]
    models = [nn.Sequential(trunk, head) for head in heads]
    steps = [dl.TrainStep(m, F.cross_entropy, optim.SGD(m.parameters(), lr=0.1), ema=0.5) for m in models]
    peers = [torch.nn.Linear(3, 4), torch.nn.Linear(4, 2), torch.nn.Linear(4, 2)]
    for layer, peer in zip((trunk, *heads), peers, strict=True):
        peer.load_state_dict({key: torch.tensor(array) for key, array in layer.state_dict().items()})
    x, y = np.random.default_rng(0).normal(size=(5, 3)).astype("f"), np.arange(5) % 2
    for turn in (0, 1, 1, 0):
        steps[turn](x, y)
        net = torch.nn.Sequential(peers[0], peers[1 + turn])
        net.zero_grad()
        torch.nn.functional.cross_entropy(net(torch.tensor(x)), torch.tensor(y)).backward()
        with torch.no_grad():
            for q in net.parameters():
                q -= 0.1 * q.grad
    for layer, peer in zip((trunk, *heads), peers, strict=True):
        np.testing.assert_allclose(layer.weight.numpy(), peer.weight.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_state_loaded_after_the_optimizer_is_what_trains(device: str) -> None:
    model, source = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    model.load_state_dict(source.state_dict())
    model(dl.tensor(np.ones((1, 2), "f"))).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(model.weight.numpy(), source.weight.numpy() - 0.5, rtol=1e-6)
