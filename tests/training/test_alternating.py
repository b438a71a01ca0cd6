"""Two players in one step: PyTorch's numbers, a loop by hand, clipping, averages, precision, and recording on a GPU."""

from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, models, nn, optim
from dlcourse.attacks import PGD
from dlcourse.autograd import Tensor
from dlcourse.backend import precision, random
from dlcourse.errors import ArgumentError

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
NET = {"name": "mlp", "hidden": [8]}


def gan(generator: dict = NET, discriminator: dict = NET, **settings: Any) -> models.GAN:
    dl.manual_seed(4)
    return models.GAN((3,), 1, 2, generator, discriminator, **settings)


def optimizers(model: Any, kind: Any = optim.Adam, **settings: Any) -> dict[str, Any]:
    return {player: kind(getattr(model, player).parameters(), lr=0.02, **settings) for player in model.players}


def weights(model: Any) -> np.ndarray:
    return np.concatenate([backend.to_host(a).reshape(-1) for a in model.state_dict().values()])


def noise(count: int, step: int) -> np.ndarray:
    return backend.to_host(random.normal((count, 2), "gan/noise", step))


def by_hand(model: models.GAN, steps: int, wrong_order: bool = False) -> list[float]:
    """The loop as it is written in PyTorch, here with this program's names."""
    chosen, bce, losses = optimizers(model), nn.BCEWithLogitsLoss(), []
    real, fake = dl.ones((12, 1)), dl.zeros((12, 1))
    for step in range(steps):
        drawn = model.generator(dl.tensor(noise(12, step)))
        chosen["discriminator"].zero_grad()
        first = bce(model.discriminator(dl.tensor(X)), real) + bce(model.discriminator(drawn.detach()), fake)
        first.backward()
        if wrong_order:
            second = bce(model.discriminator(drawn), real)
        chosen["discriminator"].step()
        chosen["generator"].zero_grad()
        if not wrong_order:
            second = bce(model.discriminator(drawn), real)
        second.backward()
        chosen["generator"].step()
        losses.append(first.item() + second.item())
    return losses


def test_a_step_is_the_loop_by_hand() -> None:
    model, other = gan(), gan()
    step = dl.AlternatingStep(model, optimizers(model))
    losses = [step(X, X).item() for _ in range(4)]
    np.testing.assert_allclose(losses, by_hand(other, 4), rtol=1e-5)
    np.testing.assert_allclose(weights(model), weights(other), atol=1e-6)


def test_a_backward_through_weights_that_have_moved_raises() -> None:
    """The generator's cost computed before the discriminator moves: PyTorch refuses it too."""
    with pytest.raises(RuntimeError, match="changed in place"):
        by_hand(gan(), 1, wrong_order=True)


@pytest.mark.parametrize("loss", ["non_saturating", "minimax", "least_squares", "hinge"])
def test_pytorchs_numbers(loss: str) -> None:
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    one, zero = torch.ones(12, 1), torch.zeros(12, 1)
    bce = F.binary_cross_entropy_with_logits
    costs = {
        "non_saturating": (lambda a, b: bce(a, one) + bce(b, zero), lambda b: bce(b, one)),
        "minimax": (lambda a, b: bce(a, one) + bce(b, zero), lambda b: -bce(b, zero)),
        "least_squares": (
            lambda a, b: (F.mse_loss(a, one) + F.mse_loss(b, zero)) / 2,
            lambda b: F.mse_loss(b, one) / 2,
        ),
        "hinge": (lambda a, b: (F.relu(1 - a) + F.relu(1 + b)).mean(), lambda b: -b.mean()),
    }
    model = gan({"name": "mlp", "hidden": [8], "batch_norm": True}, loss=loss)
    ours = dl.AlternatingStep(model, optimizers(model, betas=(0.5, 0.999)), clip_norm=0.5)
    generator = torch.nn.Sequential(
        torch.nn.Linear(2, 8, bias=False), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    )
    discriminator = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    nets = {"generator": generator, "discriminator": discriminator}
    for name, net in nets.items():
        for mine, their in _pairs(getattr(model, name), net):
            their.copy_(torch.as_tensor(mine))
    theirs = {name: torch.optim.Adam(net.parameters(), lr=0.02, betas=(0.5, 0.999)) for name, net in nets.items()}
    of_discriminator, of_generator = costs[loss]
    for index in range(5):
        drawn = generator(torch.tensor(noise(12, index)))
        first = of_discriminator(discriminator(torch.tensor(X)), discriminator(drawn.detach()))
        found = [_step(torch, theirs["discriminator"], discriminator, first)]
        # Of the same noise: PyTorch's batch norm would count a second pass, as this program's does.
        drawn = generator(torch.tensor(noise(12, index)))
        found.append(_step(torch, theirs["generator"], generator, of_generator(discriminator(drawn))))
        assert ours(X, X).item() == pytest.approx(sum(found), rel=1e-4)
    for name, net in nets.items():
        for mine, their in _pairs(getattr(model, name), net):
            np.testing.assert_allclose(np.asarray(mine), their.numpy(), atol=2e-5)


def _pairs(ours: Any, theirs: Any) -> list[tuple[Any, Any]]:
    """The arrays of a net here and of its twin in PyTorch, but the count of batches."""
    states = dl.interop.torch.to_torch_state_dict(ours), theirs.state_dict()
    mine, their = ([a for n, a in state.items() if not n.endswith("num_batches_tracked")] for state in states)
    assert [tuple(a.shape) for a in mine] == [tuple(a.shape) for a in their]
    return list(zip(mine, their, strict=True))


def _step(torch: Any, optimizer: Any, net: Any, cost: Any) -> float:
    optimizer.zero_grad()
    cost.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
    optimizer.step()
    return cost.item()


def test_the_other_player_stays_and_gets_no_gradient() -> None:
    model = gan()
    step = dl.AlternatingStep(model, optimizers(model, optim.SGD))
    before = weights(model.discriminator), weights(model.generator)
    step.begin()
    step.players["generator"].update(X, X)
    assert np.array_equal(weights(model.discriminator), before[0]) and all(
        p.grad is None and p.requires_grad for p in model.discriminator.parameters()
    )
    assert not np.array_equal(weights(model.generator), before[1])
    model.generator.layers[1].weight.requires_grad = False
    step(X, X)
    assert not model.generator.layers[1].weight.requires_grad and model.generator.layers[3].weight.requires_grad


def test_microbatches_averages_and_a_state_that_is_loaded() -> None:
    """Of half the steps, a state taken over and the other half: bit for bit those of all steps."""

    def made() -> Any:
        model = gan(discriminator=NET | {"dropout": 0.3})
        return dl.AlternatingStep(model, optimizers(model), accumulate=3, ema=0.8, l2=1e-3, clip_value=0.1)

    whole, first = made(), made()
    for _ in range(6):
        whole(X, X)
    for _ in range(3):
        first(X, X)
    second = made()
    second.model.load_state_dict(first.model.state_dict())
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        second(X, X)
    assert second.step == 6 and np.array_equal(weights(whole.model), weights(second.model))
    with whole.averaged(), second.averaged():
        averages = weights(whole.model)
        assert np.array_equal(averages, weights(second.model))
    assert not np.array_equal(averages, weights(whole.model))


def test_a_look_at_a_step_shows_both_players_and_changes_nothing() -> None:
    model = gan()
    step = dl.AlternatingStep(model, optimizers(model))
    before, found = weights(model), dl.inspect_step(step, X, X)
    assert np.array_equal(before, weights(model))
    linear = [facts for facts in found.values() if facts["kind"] == "Linear"]
    assert len(linear) == 4 and all(facts["gradient"] > 0 and facts["ratio"] > 0 for facts in linear)


class Wrong:
    def no_optimizer(self, model: Any) -> Any:
        return dl.AlternatingStep(model, {"generator": optim.SGD(model.generator.parameters(), lr=0.1)})

    def one_optimizer(self, model: Any) -> Any:
        return dl.AlternatingStep(model, optim.SGD(model.parameters(), lr=0.1))

    def no_players(self, model: Any) -> Any:
        return dl.AlternatingStep(model.generator, {})

    def an_attack(self, model: Any) -> Any:
        return dl.AlternatingStep(model, optimizers(model), attack=PGD(0.1))

    def of_all_parameters(self, model: Any) -> Any:
        return dl.AlternatingStep(model, dict.fromkeys(model.players, optim.SGD(model.parameters(), lr=0.1)))

    def a_search(self, model: Any) -> Any:
        return dl.AlternatingStep(model, optimizers(model, optim.LBFGS))

    def a_plain_step(self, model: Any) -> Any:
        return dl.TrainStep(model, None, optim.SGD(model.parameters(), lr=0.1))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_optimizer", "an optimizer for each of discriminator, generator, by these names, got generator"),
        ("one_optimizer", "by these names, got a SGD"),
        ("no_players", "expected a model with players, such as models.GAN, got a MLP"),
        ("an_attack", "an attack raises a loss"),
        ("of_all_parameters", "the optimizer of discriminator is to hold the parameters of model.discriminator"),
        ("a_search", "LBFGS searches along a cost that stays the same"),
        ("a_plain_step", "the players of GAN move in turn, by an optimizer each: dl.AlternatingStep"),
    ],
)
def test_wrong_ones_say_what_is_wanted(name: str, message: str) -> None:
    with pytest.raises((ArgumentError, TypeError), match=message):
        getattr(Wrong(), name)(gan())


@pytest.mark.skipif("config.getoption('--device') != 'cuda'", reason="recording is for a GPU (--device cuda)")
@pytest.mark.parametrize("numbers", ["float32", "fp16"])
def test_recorded_and_call_by_call_are_bit_for_bit_the_same(numbers: str, device: str) -> None:
    def trained(captured: bool) -> tuple[np.ndarray, list[float], Any]:
        model = gan(NET | {"batch_norm": True}, NET | {"dropout": 0.3}).to(dtype=precision.dtype(numbers)).train()
        step = dl.AlternatingStep(model, optimizers(model), ema=0.9, clip_norm=1.0)
        step.capture = captured
        batches = [backend.current().asarray(np.roll(X, index, axis=0)) for index in range(6)]
        losses = [step(x, x).item() for x in batches]
        with step.averaged():
            return weights(model), losses, step

    recorded, losses, step = trained(True)
    eager, others, _ = trained(False)
    assert len(step.runner.graphs) == 1 and not step.runner.refused
    assert losses == others and np.array_equal(recorded, eager)


@pytest.mark.parametrize("numbers", ["fp16", "bf16", "float64"])
def test_other_precisions(numbers: str) -> None:
    if numbers == "bf16":
        pytest.importorskip("ml_dtypes")

    def losses(kind: str) -> list[float]:
        model = gan().to(dtype=precision.dtype(kind))
        step = dl.AlternatingStep(model, optimizers(model, optim.SGD))
        found = [step(X, X).item() for _ in range(20)]
        assert step.skipped < 15 and isinstance(step(X, X), Tensor)
        return found

    np.testing.assert_allclose(losses(numbers)[0], losses("float32")[0], rtol=0.02)
