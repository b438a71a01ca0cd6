"""The multilayer perceptron: its layers, its first weights, its use of randomness."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, models, nn, optim, registry
from dlcourse import functional as F
from dlcourse.autograd import gradcheck, tensor
from dlcourse.backend import random
from dlcourse.models.mlp import ACTIVATIONS
from dlcourse.sweeps import run_sweep
from dlcourse.training.step import TrainStep


def test_layers_in_order() -> None:
    model = models.MLP((4, 4, 3), 10, hidden=[7, 5], activation="tanh", dropout=0.5)
    kinds = [type(layer) for layer in model.layers]
    block = [nn.Linear, nn.Tanh, nn.Dropout]
    assert kinds == [nn.Flatten, *block, *block, nn.Linear]
    assert [p.shape for p in model.parameters()] == [(7, 48), (7,), (5, 7), (5,), (10, 5), (10,)]
    assert nn.Dropout not in {type(layer) for layer in models.MLP((2,), 1, [3]).layers}


def test_normalization_and_dropout_of_each_layer() -> None:
    model = models.MLP((3,), 2, hidden=[7, 5], batch_norm=True, dropout=[0.0, 0.5])
    block = [nn.Linear, nn.BatchNorm, nn.ReLU]
    assert [type(layer) for layer in model.layers] == [nn.Flatten, *block, *block, nn.Dropout, nn.Linear]
    assert [p.shape for p in model.parameters()] == [(7, 3), (7,), (7,), (5, 7), (5,), (5,), (2, 5), (2,)]
    model = models.MLP((3,), 2, hidden=[7], layer_norm=True, dropout=(0.25,))
    assert [type(layer) for layer in model.layers][2:5] == [nn.LayerNorm, nn.ReLU, nn.Dropout]
    assert model.layers[1].bias is not None and model.layers[4].p == 0.25


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_norm": True, "layer_norm": True}, "choose one"),
        ({"dropout": [0.5]}, r"one for each of the 2 hidden layers, got 1: \[0.5\]"),
        ({"dropout": []}, "got 0"),
    ],
)
def test_refuses(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.MLP((3,), 2, hidden=[7, 5], **settings)


@pytest.mark.parametrize("norm", ["batch_norm", "layer_norm"])
def test_normalized_as_pytorch(norm: str) -> None:
    torch = pytest.importorskip("torch")
    model = models.MLP((6,), 3, hidden=[5, 4], activation="tanh", init={"name": "normal", "std": 0.3}, **{norm: True})
    make = {"batch_norm": torch.nn.BatchNorm1d, "layer_norm": torch.nn.LayerNorm}[norm]
    layers = []
    for fan_in, width in ((6, 5), (5, 4)):
        layers += [torch.nn.Linear(fan_in, width, bias=norm != "batch_norm"), make(width), torch.nn.Tanh()]
    peer = torch.nn.Sequential(torch.nn.Flatten(), *layers, torch.nn.Linear(4, 3))
    peer.load_state_dict(
        {key.removeprefix("layers."): torch.tensor(value.copy()) for key, value in model.state_dict().items()},
        strict=False,  # PyTorch's counts the batches
    )
    x = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    for mode in ("train", "eval"):
        expected = getattr(peer, mode)()(torch.tensor(x)).detach().numpy()
        np.testing.assert_allclose(getattr(model, mode)()(tensor(x)).numpy(), expected, atol=1e-6)


def test_a_sweep_takes_the_scale_of_the_first_weights(tmp_path: Path) -> None:
    model = {"name": "mlp", "hidden": [8, 4], "init": {"name": "normal", "std": 0.1}, "dropout": 0.0}
    axes = {"model.init.std": [0.01, 1.0], "model.dropout": [0.1, [0.0, 0.2]], "model.batch_norm": [False, True]}
    given = {
        "data": {"name": "spirals", "samples": 60},
        "model": model,
        "loss": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 0.0},
        "train": {"steps": 1, "batch_size": 20},
        "sweep": {"grid": axes},
    }
    result = run_sweep(given, out=tmp_path, quiet=True, plots=False, device="cpu")
    assert [point.status for point in result.points] == ["done"] * 8
    spread = {}
    for point in result.points:
        trained = dl.load_run(result.folder / point.folder)
        spread.setdefault(point.overrides["model.init.std"], []).append(trained.model.layers[1].weight.numpy().std())
    assert max(spread[0.01]) < 0.02 and min(spread[1.0]) > 0.5


def test_without_hidden_layers_it_is_linear() -> None:
    model = models.MLP((3,), 2, hidden=[])
    assert [p.shape for p in model.parameters()] == [(2, 3), (2,)]


def test_the_signature_names_every_activation() -> None:
    parameter = next(p for p in registry.parameters("model", "mlp") if p.name == "activation")
    assert set(get_args(parameter.annotation)) == set(ACTIVATIONS)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_every_activation(activation: str) -> None:
    model = models.MLP((3,), 2, hidden=[4], activation=activation).to(dtype=np.float64)
    names, values = zip(*[(name, p.data) for name, p in model.named_parameters()], strict=True)

    def outputs(x, *parameters):
        h = getattr(F, activation)(x @ parameters[0].T + parameters[1])
        return h @ parameters[2].T + parameters[3]

    x = np.random.default_rng(0).normal(size=(5, 3))
    gradcheck(outputs, [x, *values])
    np.testing.assert_allclose(model(tensor(x)).numpy(), outputs(tensor(x), *map(tensor, values)).numpy(), rtol=1e-12)
    assert names == ("layers.1.weight", "layers.1.bias", "layers.3.weight", "layers.3.bias")


@pytest.mark.parametrize(
    ("init", "activation", "first", "last"),
    [
        ("auto", "relu", 2 / 300, 1 / 200),
        ("auto", "tanh", 25 / 9 * 2 / 500, 2 / 250),
        ("kaiming", "tanh", 25 / 9 / 300, 1 / 200),
        ("xavier", "relu", 2 * 2 / 500, 2 / 250),
        ("lecun", "relu", 1 / 300, 1 / 200),
        ("default", "relu", 1 / 900, 1 / 600),
    ],
)
def test_variance_of_the_first_weights(init: str, activation: str, first: float, last: float) -> None:
    model = models.MLP((300,), 50, hidden=[200], activation=activation, init=init)
    assert model.layers[1].weight.numpy().var() == pytest.approx(first, rel=0.05)
    assert model.layers[3].weight.numpy().var() == pytest.approx(last, rel=0.06)
    assert bool(model.layers[1].bias.numpy().any()) == (init == "default")


def test_orthogonal_weights() -> None:
    weight = models.MLP((30,), 5, hidden=[20], activation="tanh", init="orthogonal").layers[1].weight.numpy()
    np.testing.assert_allclose(weight @ weight.T, 25 / 9 * np.eye(20), atol=1e-5)


def test_layers_of_one_shape_start_differently_and_the_seed_decides() -> None:
    def weights() -> list[np.ndarray]:
        model = models.MLP((6,), 6, hidden=[6, 6])
        return [p.numpy().copy() for p in model.parameters() if p.ndim == 2]

    random.manual_seed(1)
    first = weights()
    random.manual_seed(1)
    again = weights()
    random.manual_seed(2)
    other = weights()
    assert len({w.tobytes() for w in first + other}) == 6
    np.testing.assert_array_equal(first, again)


def test_it_learns_what_is_not_linear(device: str) -> None:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    y = np.array([0, 1, 1, 0])
    x, labels = backend.current().asarray(x), backend.current().asarray(y)
    model = models.MLP((2,), 2, hidden=[16], activation="tanh").to(device=device)
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.03))
    for _ in range(300):
        step(x, labels)
    assert (model(x).argmax(axis=1).numpy() == y).all()


@pytest.mark.parametrize("settings", [{}, {"batch_norm": True, "dropout": 0.5}])
def test_pieces_add_up_to_the_output(settings: dict) -> None:
    model = models.MLP((2,), 3, hidden=[7, 5], **settings).eval()
    model.layers[-1].bias.data[...] = 1.5
    x = tensor(np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32))
    pieces = model.pieces(x).numpy()
    assert pieces.shape == (4, 6, 3) and (pieces[:, -1] == 1.5).all()
    np.testing.assert_allclose(pieces.sum(axis=1), model(x).numpy(), atol=1e-5)
    assert models.MLP((2,), 3, hidden=[]).pieces(x) is None


def test_a_run_keeps_the_pieces_in_the_targets_unit(tmp_path: Path) -> None:
    given = {
        "data": {"name": "sine_curve", "samples": 40, "normalize": "standardize", "normalize_target": "standardize"},
        "model": {"name": "mlp", "hidden": 70, "dropout": 0.5},
        "loss": "mse",
        "optimizer": {"name": "adam", "lr": 0.01},
        "train": {"steps": 5},
    }
    for precision in ("float64", "fp16"):
        result = dl.run(given | {"precision": precision}, out=tmp_path, quiet=True, plots=False, device="cpu")
        arrays = np.load(result.folder / "predictions.npz")
        assert arrays["curve_pieces"].shape == (400, 65)
        tolerance = 1e-6 if precision == "float64" else 0.02
        np.testing.assert_allclose(arrays["curve_pieces"].sum(axis=1), arrays["curve_output"][:, 0], atol=tolerance)


def test_templates_of_the_first_layer() -> None:
    model = models.MLP((4, 4, 1), 3, hidden=[60, 5])
    first, second = (layer for layer in list(model.layers)[:4] if isinstance(layer, nn.Linear))
    outgoing = np.ones((5, 60), np.float32)
    outgoing[:, ::6] = 0  # ten units that nothing listens to
    first.weight.data = backend.current().asarray(np.tile(np.linspace(-1, 1, 16, dtype=np.float32), (60, 1)))
    second.weight.data = backend.current().asarray(outgoing)
    first.weight.data[59] *= -1
    templates = model.plot_arrays()["templates"]
    assert templates.shape == (50, 4, 4, 1)
    np.testing.assert_allclose(templates[-1], 1 - templates[0], atol=1e-6)  # in their own order
    assert models.MLP((4, 4, 1), 3, hidden=[7]).plot_arrays()["templates"].shape == (7, 4, 4, 1)
    assert models.MLP((4, 4, 1), 3, hidden=[]).plot_arrays()["templates"].shape == (3, 4, 4, 1)
    assert models.MLP((16,), 3, hidden=[7]).plot_arrays() == {}
