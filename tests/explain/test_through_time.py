"""The gradient at each step of a recurrence: PyTorch's, by a chain of single steps, and where it cannot be told."""

from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import models, nn, optim
from dlcourse.errors import ArgumentError
from dlcourse.interop.torch import to_torch_state_dict

X = np.random.default_rng(0).normal(size=(4, 9, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(4, 9, 2)).astype("float32")
KINDS = ("RNN", "LSTM", "GRU")


class Net(dl.nn.Module):
    """Outputs at every step, and what the last states add to them."""

    def __init__(self, kind: str):
        super().__init__()
        self.recurrent, self.linear = getattr(nn, kind)(3, 5, num_layers=2), nn.Linear(5, 2)

    def forward(self, x: Any) -> Any:
        output, ends = self.recurrent(x)
        ends = ends if isinstance(ends, tuple) else (ends,)
        return self.linear(output + sum(end.sum(axis=0) for end in ends)[:, None])


def pytorchs(torch: Any, kind: str, model: Net) -> dict[str, list[float]]:
    """||dL / dh_t|| of each layer, from one cell after another."""
    state = to_torch_state_dict(model)
    cells = [getattr(torch.nn, f"{kind}Cell")(size, 5) for size in (3, 5)]
    for level, cell in enumerate(cells):
        cell.load_state_dict({name: state[f"recurrent.{name}_l{level}"] for name in cell.state_dict()})
    linear = torch.nn.Linear(5, 2)
    linear.load_state_dict({name: state[f"linear.{name}"] for name in ("weight", "bias")})
    kept: dict[str, list[Any]] = {}
    outputs, states = [], [None, None]
    for step in torch.tensor(X).unbind(1):
        for level, cell in enumerate(cells):
            states[level] = cell(step, states[level])
            each = states[level] if kind == "LSTM" else (states[level],)
            for name, value in zip("hc", each, strict=False):
                value.retain_grad()
                kept.setdefault(f"{name}_l{level}", []).append(value)
            step = each[0]
        outputs.append(step)
    ends = sum(sum(each) if kind == "LSTM" else each for each in states)
    torch.nn.functional.mse_loss(linear(torch.stack(outputs, 1) + ends[:, None]), torch.tensor(Y)).backward()
    return {name: [each.grad.norm().item() for each in values] for name, values in kept.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_norms_are_pytorchs(kind: str, device: str) -> None:
    torch = pytest.importorskip("torch")
    with dl.device(device):
        model = Net(kind)
        before = {name: array.copy() for name, array in model.state_dict().items()}
        (found,) = dl.explain.gradients_through_time(model, X, Y, F.mse_loss).values()
        assert list(found) == (["h_l0", "c_l0", "h_l1", "c_l1"] if kind == "LSTM" else ["h_l0", "h_l1"])
        for name, norms in pytorchs(torch, kind, model).items():
            np.testing.assert_allclose(found[name].numpy(), norms, rtol=1e-4, atol=1e-7)
        assert all(parameter.grad is None for parameter in model.parameters())
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, before[name])
        # A look at a step says the same of the batch.
        step = dl.TrainStep(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.1))
        seen = dl.inspect_step(step, X, Y)["recurrent"]["through_time"]
        for name, norms in found.items():
            np.testing.assert_allclose(seen[name], norms.numpy(), rtol=1e-5)


def test_a_gradient_lasts_where_the_net_keeps_its_state() -> None:
    """A ReLU net that begins with the identity passes it on as it is; a tanh net with small weights loses it."""
    x, y = np.random.default_rng(2).random((6, 60, 2)).astype("float32"), np.ones((6, 1), "float32")
    kept = {}
    for name, more in (("relu", {"recurrent_init": "eye"}), ("tanh", {})):
        model = models.RNNModel((60, 2), 1, hidden=8, nonlinearity=name, **more)
        norms = dl.explain.gradients_through_time(model, x, y, F.mse_loss)["encoder"]["h_l0"].numpy()
        kept[name] = norms[0] / norms[-1]
    assert kept["relu"] > 0.5 and kept["tanh"] < 1e-6


@pytest.mark.parametrize(
    ("model", "steps"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(27, 1)), 9),
        (models.RNNModel((1100, 3), 1, hidden=2), 1100),
    ],
)
def test_what_cannot_be_followed_is_named(model: nn.Module, steps: int) -> None:
    with pytest.raises(ArgumentError, match="expected a model that calls nn.RNN, .* at most 1024 steps"):
        dl.explain.gradients_through_time(model, np.zeros((2, steps, 3), "float32"), np.zeros((2, 1), "f4"), F.mse_loss)


def test_dropout_between_layers_is_not_followed_in_training() -> None:
    model = models.GRUModel((9, 3), 2, hidden=4, layers=2, dropout=0.5)
    step = dl.TrainStep(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.1))
    assert "through_time" not in dl.inspect_step(step, X, Y[:, 0])["encoder"]
