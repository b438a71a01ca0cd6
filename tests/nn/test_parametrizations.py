"""Weights that are computed: weight and spectral normalization as PyTorch's, and parametrizations of one's own."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, optim
from dlcourse.errors import ArgumentError, ShapeError

parametrize, parametrizations = nn.utils.parametrize, nn.utils.parametrizations

LAYERS: dict[str, tuple[Callable, tuple[int, ...]]] = {
    "Linear": (lambda of: of.Linear(4, 3), (5, 4)),
    "Conv2d": (lambda of: of.Conv2d(4, 3, 3, padding=1), (2, 5, 5, 4)),
    "ConvTranspose2d": (lambda of: of.ConvTranspose2d(4, 3, 3), (2, 5, 5, 4)),
}


def pair(name: str, kind: str, **options: Any) -> tuple[Any, Any, np.ndarray]:
    """A layer of ours and PyTorch's with the same weights, in float64, and an input."""
    torch = pytest.importorskip("torch")
    make, shape = LAYERS[name]
    ours, theirs = make(nn), make(torch.nn).double()
    ours.double()
    with torch.no_grad():
        theirs.weight.copy_(
            torch.tensor(np.moveaxis(ours.weight.numpy(), -1, 1) if theirs.weight.ndim > 2 else ours.weight.numpy())
        )
        theirs.bias.copy_(torch.tensor(ours.bias.numpy()))
    ours = getattr(parametrizations, kind)(ours, **options)
    theirs = getattr(torch.nn.utils.parametrizations, kind)(theirs, **options)
    return ours, theirs, np.random.default_rng(0).normal(size=shape)


def first(array: np.ndarray) -> np.ndarray:
    """Channels where PyTorch has them."""
    return np.moveaxis(array, -1, 1) if array.ndim > 2 else array


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    ("kind", "options"),
    [("weight_norm", {}), ("weight_norm", {"dim": None}), ("spectral_norm", {"n_power_iterations": 3})],
)
def test_outputs_and_gradients_are_pytorchs(name: str, kind: str, options: dict) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs, array = pair(name, kind, **options)
    if kind == "spectral_norm":  # the rows of the matrix are the outputs in both; its columns come in another order
        for layer in (ours, theirs):
            for _ in range(200):
                layer(dl.tensor(array) if layer is ours else torch.tensor(first(array)))
    x, t = dl.tensor(array, requires_grad=True), torch.tensor(first(array), requires_grad=True)
    y, z = ours(x), theirs(t)
    np.testing.assert_allclose(first(y.detach().numpy()), z.detach().numpy(), rtol=1e-6, atol=1e-9)
    (y * y * y).sum().backward()
    (z * z * z).sum().backward()
    np.testing.assert_allclose(first(x.grad.numpy()), t.grad.numpy(), rtol=1e-5, atol=1e-8)
    for (mine, p), (other, q) in zip(sorted(ours.named_parameters()), sorted(theirs.named_parameters()), strict=True):
        assert mine == other
        np.testing.assert_allclose(first(p.grad.numpy()), q.grad.numpy(), rtol=1e-5, atol=1e-8, err_msg=mine)


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
def test_a_net_trains_saves_loads_and_copies(kind: str, device: str, tmp_path: Any) -> None:
    def make() -> nn.Sequential:
        norm = getattr(nn.utils, kind)
        return nn.Sequential(norm(nn.Linear(4, 8)), nn.ReLU(), norm(nn.Linear(8, 2)))

    model, rng = make().to(device), np.random.default_rng(0)
    x, labels = rng.normal(size=(64, 4)).astype("f"), rng.integers(0, 2, 64)
    step = dl.TrainStep(model, F.cross_entropy, optim.Adam(model.parameters(), lr=0.05))
    first_loss, *_, last = (step(x, labels).item() for _ in range(80))
    assert last < 0.9 * first_loss
    model.eval()
    expected = model(dl.tensor(x)).numpy()
    dl.save(tmp_path / "state.safetensors", model.state_dict())
    other = make().to(device).eval()
    other.load_state_dict(dl.load(tmp_path / "state.safetensors"))
    np.testing.assert_allclose(other(dl.tensor(x)).numpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(copy.deepcopy(model)(dl.tensor(x)).numpy(), expected)
    for layer in (model[0], model[2]):
        parametrize.remove_parametrizations(layer, "weight")
        assert type(layer) is nn.Linear and isinstance(layer.weight, nn.Parameter)
    np.testing.assert_allclose(model(dl.tensor(x)).numpy(), expected, rtol=1e-5, atol=1e-6)
    model.half()


def test_the_largest_singular_value_becomes_1_and_stays_so_in_evaluation(device: str) -> None:
    layer = parametrizations.spectral_norm(nn.Conv2d(3, 8, 3), n_power_iterations=40)
    layer(dl.zeros(1, 5, 5, 3))
    layer.eval()
    weight = layer.weight.detach().numpy()
    assert np.linalg.norm(weight.reshape(8, -1), 2) == pytest.approx(1, rel=1e-4)
    np.testing.assert_array_equal(layer.weight.detach().numpy(), weight)
    vector = parametrizations.spectral_norm(nn.LayerNorm(5))
    assert vector.weight.norm().item() == pytest.approx(1)


class Symmetric(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.triu() + x.triu(1).T


class Doubled(nn.Module):
    def forward(self, x: Any) -> Any:
        return 2 * x

    def right_inverse(self, x: Any) -> Any:
        return x / 2


def test_parametrizations_of_ones_own_come_one_after_the_other(device: str) -> None:
    layer = nn.Linear(3, 3)
    before = layer.weight.numpy().copy()
    parametrize.register_parametrization(layer, "weight", Doubled())
    np.testing.assert_allclose(layer.weight.detach().numpy(), before, rtol=1e-6)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    weight = layer.weight.detach().numpy()
    np.testing.assert_allclose(weight, np.triu(before) + np.triu(before, 1).T, rtol=1e-6)
    assert [name for name, _ in layer.named_parameters()] == ["bias", "parametrizations.weight.original"]
    assert parametrize.is_parametrized(layer) and parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias")
    parametrize.register_parametrization(layer, "bias", Doubled())
    layer(dl.ones(2, 3)).sum().backward()
    assert layer.parametrizations.bias.original.grad.tolist() == [4, 4, 4]
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    np.testing.assert_allclose(layer.weight.numpy(), before / 2)
    assert parametrize.is_parametrized(layer, "bias") and not parametrize.is_parametrized(layer, "weight")


class Wider(nn.Module):
    def forward(self, x: Any) -> Any:
        return dl.cat([x, x])


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: nn.utils.weight_norm(nn.Linear(2, 3), "weights"),
            ArgumentError,
            "no parameter 'weights' of its own; it has: weight, bias",
        ),
        (lambda: nn.utils.spectral_norm(nn.ReLU()), ArgumentError, "no parameter 'weight' of its own; it has: none"),
        (lambda: nn.utils.spectral_norm(dl.ones(3)), ArgumentError, "spectral_norm: expected a layer, got a Tensor"),
        (
            lambda: nn.utils.weight_norm(nn.Linear(2, 3), dim=2),
            ArgumentError,
            r"weight of shape \(3, 2\) has no axis 2",
        ),
        (lambda: nn.utils.spectral_norm(nn.Linear(2, 3), n_power_iterations=0), ArgumentError, "at least 1, got 0"),
        (
            lambda: parametrize.register_parametrization(nn.Linear(2, 3), "weight", abs),
            TypeError,
            "expected a module, got a builtin",
        ),
        (
            lambda: parametrize.register_parametrization(nn.Linear(2, 3), "weight", Wider()),
            ShapeError,
            r"of shape \(6, 2\) for a weight of shape \(3, 2\)",
        ),
        (
            lambda: parametrize.remove_parametrizations(nn.Linear(2, 3), "weight"),
            ArgumentError,
            "Linear.weight is not parametrized",
        ),
        (
            lambda: parametrize.remove_parametrizations(nn.utils.weight_norm(nn.Linear(2, 3)), "weight", False),
            ArgumentError,
            "several parameters",
        ),
        (
            lambda: setattr(nn.utils.weight_norm(nn.Linear(2, 3)), "weight", nn.Parameter(np.ones((3, 2), "f"))),
            ArgumentError,
            "weight is computed, from module.parametrizations.weight",
        ),
        (lambda: nn.utils.remove_weight_norm, AttributeError, "parametrize.remove_parametrizations"),
    ],
)
def test_what_does_not_go_is_said(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()
