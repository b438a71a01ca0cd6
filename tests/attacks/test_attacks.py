"""Attacks: their equations, PyTorch's numbers on the same weights, and that they leave the model as it was."""

import copy
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, nn
from dlcourse.attacks import FGSM, PGD, Attack, Box, CarliniWagner, DeepFool, RandomNoise, Universal
from dlcourse.errors import ArgumentError

ATTACKS = (
    FGSM(0.1),
    FGSM(0.5, "l2"),
    FGSM(0.1, target=1),
    PGD(0.1, steps=5),
    PGD(0.5, steps=5, norm="l2"),
    PGD(0.1, steps=5, target="least_likely"),
    RandomNoise(0.1),
    RandomNoise(0.5, "l2"),
    DeepFool(steps=20),
    CarliniWagner(steps=30, searches=3, initial_constant=1.0, lr=0.05),
    Universal(0.1, steps=5),
)


def ids(attack: Attack) -> str:
    return f"{type(attack).__name__}-{getattr(attack, 'norm', '')}-{getattr(attack, 'target', '')}"


@pytest.fixture
def net() -> nn.Module:
    dl.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm(4), nn.ReLU(), nn.Dropout(0.5))
    return nn.Sequential(conv, nn.Flatten(), nn.Linear(4 * 6 * 6, 3))


@pytest.fixture
def inputs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.uniform(size=(12, 8, 8, 1)).astype("float32"), rng.integers(0, 3, 12)


def size(d: np.ndarray, norm: str) -> np.ndarray:
    flat = d.reshape(len(d), -1).astype("float64")
    return np.sqrt((flat**2).sum(axis=1)) if norm == "l2" else np.abs(flat).max(axis=1)


def right(net: nn.Module, x: Any, y: np.ndarray) -> np.ndarray:
    return net.eval()(dl.tensor(backend.to_host(x))).numpy().argmax(axis=1) == y


@pytest.mark.parametrize("attack", ATTACKS, ids=ids)
def test_it_stays_in_its_ball_and_box_and_leaves_the_model_as_it_was(attack: Attack, net, inputs, device: str) -> None:
    x, y = inputs
    net.to(device=device).train()
    state = {name: array.copy() for name, array in net.state_dict().items()}
    found = attack(net, backend.current().asarray(x), backend.current().asarray(y), 3)
    assert backend.of(found).name == backend.current().name and found.dtype == np.float32 and found.shape == x.shape
    host = backend.to_host(found)
    assert 0 <= host.min() and host.max() <= 1
    if hasattr(attack, "epsilon"):
        assert (size(host - x, getattr(attack, "norm", "linf")) <= attack.epsilon * (1 + 1e-5) + 1e-6).all()
    np.testing.assert_array_equal(host, backend.to_host(attack(net, backend.current().asarray(x), y, 3)))
    assert net.training and all(p.requires_grad and p.grad is None for p in net.parameters())
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    if isinstance(attack, DeepFool):
        guess = net.eval()(dl.tensor(x)).numpy().argmax(axis=1)
        assert right(net, host, guess).mean() <= 0.2
    elif not isinstance(attack, RandomNoise) and getattr(attack, "target", None) is None:
        assert right(net, host, y).mean() < right(net, x, y).mean()


def test_a_targeted_attack_reaches_its_class(net, inputs) -> None:
    x, y = inputs
    found = PGD(0.5, steps=20, target=2)(net, x, y)
    assert right(net, found, np.full(12, 2)).mean() > 0.9


def test_many_steps_are_at_least_as_strong_as_one(net, inputs) -> None:
    x, y = inputs

    def loss(found: Any) -> float:
        return dl.functional.cross_entropy(net.eval()(dl.tensor(found)), y).item()

    for epsilon, norm in ((0.02, "linf"), (0.05, "linf"), (0.1, "linf"), (0.2, "l2"), (0.5, "l2"), (1.0, "l2")):
        attacks = FGSM(epsilon, norm), PGD(epsilon, 20, norm=norm, random_start=False), PGD(epsilon, 20, norm=norm)
        one, many, from_noise = (loss(attack(net, x, y)) for attack in attacks)
        assert loss(x) < one <= many * (1 + 1e-3) and one <= from_noise * (1 + 1e-2)
        assert loss(RandomNoise(epsilon, norm)(net, x, y)) < one


@pytest.mark.parametrize("attack", [FGSM(0.1), PGD(0.1, steps=3), DeepFool(steps=3)], ids=ids)
def test_the_net_is_asked_as_in_evaluation(attack: Attack, net, inputs) -> None:
    """Dropout drops nothing, and batch norm takes the running statistics, whatever the net's mode is."""
    x, y = inputs
    training, evaluating = (attack(net.train(mode), x, y) for mode in (True, False))
    np.testing.assert_array_equal(training, evaluating)


def test_a_step_against_an_attack_is_a_step_on_what_it_makes(net, inputs) -> None:
    """Running statistics see the changed inputs once, and nothing of the attack's own passes."""
    x, y = inputs
    attack, other = PGD(0.1, steps=3), copy.deepcopy(net)
    changed = attack(other, x, y, 0)
    steps = []
    for model, given, against in ((net, x, attack), (other, changed, None)):
        step = dl.TrainStep(
            model.train(), dl.functional.cross_entropy, dl.optim.SGD(model.parameters(), 0.1), attack=against
        )
        step.stream = (0, 0)
        step(given, y)
        steps.append(model.state_dict())
    assert steps[0].keys() == steps[1].keys()
    for name, array in steps[0].items():
        np.testing.assert_allclose(array, steps[1][name], atol=1e-6, err_msg=name)


def test_one_perturbation_is_found_on_some_inputs_and_tried_on_others(net, inputs) -> None:
    x, y = inputs
    attack = Universal(0.1, steps=5)
    attack.fit(net, [(x[:4], y[:4]), (x[4:8], y[4:8])])
    np.testing.assert_array_equal(attack(net, x[8:], y[8:]), np.clip(x[8:] + attack.perturbation, 0, 1))
    assert np.isclose(abs(attack.perturbation), 0.1).mean() > 0.5


def test_the_smallest_perturbations_are_smaller_than_a_step_that_suffices(net, inputs) -> None:
    x, _ = inputs
    guess = net.eval()(dl.tensor(x)).numpy().argmax(axis=1)
    fool, search = (attack(net, x, guess) for attack in (DeepFool(), CarliniWagner(200, 0.05, 6, 1.0)))
    step = next(
        each for eps in np.linspace(0.1, 4, 40) if not right(net, each := FGSM(eps, "l2")(net, x, guess), guess).any()
    )
    lengths = [size(each - x, "l2") for each in (search, fool, step)]
    assert not right(net, search, guess).any() and not right(net, fool, guess).any()
    assert lengths[0].mean() <= 1.02 * lengths[1].mean() and lengths[1].mean() < lengths[2].mean()


def test_a_linear_net_is_fooled_by_the_distance_to_its_boundary() -> None:
    """Of two classes DeepFool's step is |f| / |w|, the distance of a point from a plane."""
    dl.manual_seed(0)
    net, x = nn.Linear(5, 2), np.random.default_rng(0).uniform(0.3, 0.7, (20, 5)).astype("float32")
    attack = DeepFool(overshoot=0.0)
    attack.box = Box(-10, 10)
    weight, bias = net.weight.numpy(), net.bias.numpy()
    plane = weight[0] - weight[1]
    distance = np.abs(x @ plane + bias[0] - bias[1]) / np.linalg.norm(plane)
    np.testing.assert_allclose(size(attack(net, x, np.zeros(20, int)) - x, "l2"), distance, rtol=1e-2, atol=1e-3)


def test_the_numbers_are_pytorchs(net, inputs) -> None:
    torch = pytest.importorskip("torch")
    x, y = inputs
    state = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in net.state_dict().items()}
    peer = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3)
    ).eval()
    with torch.no_grad():
        peer[0].weight.copy_(state["0.0.weight"].permute(0, 3, 1, 2))
        peer[0].bias.copy_(state["0.0.bias"])
        peer[4].weight.copy_(state["2.weight"].reshape(3, 6, 6, 4).permute(0, 3, 1, 2).reshape(3, 144))
        peer[4].bias.copy_(state["2.bias"])
    labels, start = torch.from_numpy(y), torch.from_numpy(x.transpose(0, 3, 1, 2).copy())

    def slope(z: Any) -> Any:
        z = z.detach().requires_grad_()
        return torch.autograd.grad(torch.nn.functional.cross_entropy(peer(z), labels, reduction="sum"), z)[0]

    ours = FGSM(0.1)(net, x, y)
    theirs = (start + 0.1 * slope(start).sign()).clamp(0, 1)
    np.testing.assert_allclose(ours, theirs.numpy().transpose(0, 2, 3, 1), atol=1e-6)

    ours, z = PGD(0.1, 10, 0.02, random_start=False)(net, x, y), start
    for _ in range(10):
        z = (start + (z + 0.02 * slope(z).sign() - start).clamp(-0.1, 0.1)).clamp(0, 1)
    assert np.isclose(ours, z.numpy().transpose(0, 2, 3, 1), atol=1e-5).mean() > 0.995  # a sign may flip at 0

    ours, z = PGD(0.5, 10, 0.1, norm="l2", random_start=False)(net, x, y), start
    for _ in range(10):
        g = slope(z)
        d = z + 0.1 * g / g.flatten(1).norm(dim=1)[:, None, None, None] - start
        d = d * (0.5 / d.flatten(1).norm(dim=1)).clamp(max=1)[:, None, None, None]
        z = (start + d).clamp(0, 1)
    np.testing.assert_allclose(ours, z.numpy().transpose(0, 2, 3, 1), atol=1e-4)


def test_epsilon_is_a_share_of_the_box(net, inputs) -> None:
    """Inputs in other units, a box of other size: the same pictures."""
    x, y = inputs
    scaled = nn.Sequential(_Rescale(), net)
    attack = FGSM(0.1)
    plain = attack(net, x, y)
    attack = FGSM(0.1)
    attack.box = Box(np.full((8, 8, 1), -1.0), 3.0)
    np.testing.assert_allclose(attack(scaled, 4 * x - 1, y), 4 * plain - 1, atol=1e-5)


class _Rescale(nn.Module):
    def forward(self, x: Any) -> Any:
        return (x + 1) / 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FGSM(-0.1), "epsilon is at least 0"),
        (lambda: FGSM(0.1, "l3"), "norm is linf or l2"),
        (lambda: PGD(0.1, 0), "steps is at least 1"),
        (lambda: DeepFool(steps=0), "steps and candidates are at least 1"),
        (lambda: CarliniWagner(lr=0), "lr and initial_constant above 0"),
        (lambda: Universal(-1), "epsilon is at least 0"),
        (lambda: PGD(8), "epsilon is a share of the range of the inputs, at most 1, got 8; 8 of 255 .* 0.0314"),
        (lambda: Universal(300), "at most 1, got 300$"),
        (lambda: FGSM(0.1, target=7)(nn.Linear(2, 3), np.zeros((1, 2), "float32"), [0]), "the classes are 0..2"),
    ],
)
def test_wrong_settings(make: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()
