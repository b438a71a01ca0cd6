"""Weights to and from PyTorch. (Each layer of PyTorch's own samples gets its weights this way, see pytorch_samples.)"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import nn
from dlcourse.errors import ArgumentError, ArgumentTypeError, CheckpointError, UserError
from dlcourse.interop.torch import load_torch_state_dict, to_torch_arrays, to_torch_state_dict
from dlcourse.interop.trace import sample
from tests.interop.examples import LAYERS, NAMES, drawn, made

NO_TWIN = {
    **dict.fromkeys(("gaussian_classifier", "gaussian_regression"), "densities that PyTorch has no module for"),
    "polynomial": "its features are formulas of NumPy's",
    "surface": "looks at no input",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_twin_in_pytorch_gives_the_same(name: str) -> None:
    if name in NO_TWIN:
        pytest.skip(f"no twin in PyTorch: {NO_TWIN[name]}")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    from tests.interop.twins import FORWARD, twin

    if name not in FORWARD:
        pytest.skip(f"{name} has no twin yet: give it a line in tests/interop/twins.py")
    model = drawn(made(name)).eval()
    theirs = twin(model, FORWARD[name]).eval()
    theirs.load_state_dict(to_torch_state_dict(model))
    x = sample(model, model.in_shape, 5, seed=3)
    given = np.moveaxis(x, -1, 1).copy() if x.ndim == 4 else x
    expected = theirs(torch.from_numpy(given)).detach().numpy()
    expected = np.moveaxis(expected, 1, -1) if expected.ndim == 4 else expected
    assert np.abs(model(x).numpy() - expected).max() <= 1e-5 * np.abs(expected).max()
    other = drawn(made(name), seed=1).eval()
    load_torch_state_dict(other, theirs.state_dict())
    np.testing.assert_array_equal(other(x).numpy(), model(x).numpy())


@pytest.mark.parametrize("name", [*LAYERS, *NAMES])
def test_there_and_back_is_bit_for_bit(name: str) -> None:
    make, in_shape = LAYERS.get(name) or (partial(made, name), None)
    model, other = drawn(make()), drawn(make(), seed=1)
    assert load_torch_state_dict(other, to_torch_arrays(model, in_shape), in_shape) == ([], [])
    for key, array in model.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[key])


def decoder() -> nn.Module:
    """Images by convolutions to a vector and back."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 5), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(128), nn.Linear(128, 32)),
        *(nn.PReLU(32), nn.Unflatten(1, (2, 2, 8)), nn.ConvTranspose2d(8, 3, 2, stride=2), nn.GroupNorm(3, 3)),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 5)),
    )


def test_flattened_images_and_images_of_vectors() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    t, ours = torch.nn, drawn(decoder()).eval()
    theirs = t.Sequential(
        *(t.Conv2d(3, 8, 5), t.BatchNorm2d(8), t.ReLU(), t.Flatten(), t.BatchNorm1d(128), t.Linear(128, 32)),
        *(t.PReLU(32), t.Unflatten(1, (8, 2, 2)), t.ConvTranspose2d(8, 3, 2, stride=2), t.GroupNorm(3, 3)),
        *(t.MaxPool2d(2), t.Flatten(), t.Linear(12, 5)),
    ).eval()
    theirs.load_state_dict(to_torch_state_dict(ours, (8, 8, 3)))
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    expected = theirs(torch.from_numpy(np.moveaxis(x, -1, 1).copy())).detach().numpy()
    np.testing.assert_allclose(ours(x).numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
def test_parametrized_layers(norm: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    t, here, there = (torch.nn, getattr(nn.utils.parametrizations, norm),
                      getattr(torch.nn.utils.parametrizations, norm))  # fmt: skip
    theirs = t.Sequential(*(there(t.Conv2d(3, 8, 3)), t.ReLU(), there(t.ConvTranspose2d(8, 3, 3)), t.Flatten()),
                          there(t.Linear(75, 4)))  # fmt: skip
    theirs(torch.randn(4, 3, 5, 5))  # a power iteration
    ours = nn.Sequential(*(here(nn.Conv2d(3, 8, 3)), nn.ReLU(), here(nn.ConvTranspose2d(8, 3, 3)), nn.Flatten()),
                         here(nn.Linear(75, 4)))  # fmt: skip
    load_torch_state_dict(ours, theirs.state_dict(), (5, 5, 3))
    x = np.random.default_rng(0).normal(size=(4, 5, 5, 3)).astype("float32")
    expected = theirs.eval()(torch.from_numpy(np.moveaxis(x, -1, 1).copy())).detach().numpy()
    np.testing.assert_allclose(ours.eval()(dl.tensor(x)).numpy(), expected, rtol=1e-5, atol=1e-5)
    back = to_torch_state_dict(ours, (5, 5, 3))
    assert all(torch.equal(back[name], value) for name, value in theirs.state_dict().items())


def test_flattened_sequences_of_convolutions() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    ours = drawn(nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(16, 2)))
    t = torch.nn
    theirs = t.Sequential(t.Conv1d(3, 4, 3), t.ReLU(), t.MaxPool1d(2), t.Flatten(), t.Linear(16, 2))
    theirs.load_state_dict(to_torch_state_dict(ours, (10, 3)))
    x = np.random.default_rng(0).normal(size=(4, 10, 3)).astype("float32")
    expected = theirs(torch.from_numpy(x.transpose(0, 2, 1).copy())).detach().numpy()
    np.testing.assert_allclose(ours(dl.tensor(x)).numpy(), expected, rtol=1e-5, atol=1e-5)


def test_weights_that_lie_on_a_device(device: str) -> None:
    ours, other = drawn(decoder()), drawn(decoder(), seed=1)
    arrays = to_torch_arrays(ours, (8, 8, 3))
    assert all(type(array) is np.ndarray for array in arrays.values())
    load_torch_state_dict(other, arrays, (8, 8, 3))
    for key, array in ours.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[key])


def test_files_other_names_and_wrappers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)

    theirs, names = Net(), {"0": "fc1", "2": "fc2"}
    torch.save(theirs.state_dict(), tmp_path / "net.pt")
    dl.save(tmp_path / "net.safetensors", {name: value.numpy() for name, value in theirs.state_dict().items()})
    wrapped = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    checkpoint = {"model_state_dict": theirs.state_dict(), "epoch": 3}
    for state in (tmp_path / "net.pt", str(tmp_path / "net.safetensors"), wrapped, checkpoint):
        ours = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        load_torch_state_dict(ours, state, names=names)
        np.testing.assert_array_equal(ours[2].weight.numpy(), theirs.fc2.weight.detach().numpy())
    assert set(to_torch_state_dict(ours, names=names)) == set(theirs.state_dict())
    half = {name: value.bfloat16() for name, value in theirs.state_dict().items()}
    load_torch_state_dict(ours, half, names=names)
    np.testing.assert_array_equal(ours[0].weight.numpy(), half["fc1.weight"].float().numpy())


def test_a_part_may_be_loaded() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = {"0.weight": np.ones((3, 2), "float32"), "head.weight": np.ones((1, 3), "float32")}
    found = load_torch_state_dict(model, state, strict=False)
    assert found.missing_keys == ["0.bias", "1.weight", "1.bias"] and found.unexpected_keys == ["head.weight"]
    assert (model[0].weight.numpy() == 1).all()


def conv() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 5), nn.Flatten(), nn.Linear(128, 2))


@pytest.mark.parametrize(
    ("make", "state", "shape", "error", "said"),
    [
        (conv, {}, None, ArgumentError, r"give the shape of one input, as in in_shape=\(32, 32, 3\)"),
        (conv, {}, (3, 8, 8), ArgumentError, r"Sequential fails on an input of shape \(2, 3, 8, 8\)"),
        (conv, {}, (8, 8, 3), CheckpointError, "missing: 0.bias"),
        (lambda: nn.Conv2d(3, 8, 5), {"weight": np.ones((8, 5, 5, 3)), "bias": np.ones(8)}, None, CheckpointError,
         r"expected \(8, 3, 5, 5\), got \(8, 5, 5, 3\); that is the shape here: model.load_state_dict"),
        (lambda: nn.Linear(2, 1), {"weight": np.ones((2, 1)), "b": np.ones(1)}, None, CheckpointError,
         r"missing: bias\n  shape of weight: expected \(1, 2\), got \(2, 1\)\n  unexpected: b"),
        (lambda: nn.Linear(2, 1), {"epoch": 3}, None, ArgumentTypeError, r"'epoch' is a int.*checkpoint\[\"state_dict"),
        (lambda: nn.Linear(2, 1), nn.Linear(2, 1), None, ArgumentTypeError, "such as torch_model.state_dict()"),
        (lambda: nn.Linear(2, 1), "nowhere.safetensors", None, CheckpointError, "nowhere.safetensors: no such file"),
        (lambda: nn.Linear(2, 1), 5, None, ArgumentTypeError, "got int"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(make: Any, state: Any, shape: Any, error: type, said: str) -> None:
    model = drawn(make())
    before = model.state_dict()
    with pytest.raises(error, match=said):
        load_torch_state_dict(model, state, shape)
    for key, array in before.items():
        np.testing.assert_array_equal(array, model.state_dict()[key])


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: to_torch_arrays("net"), ArgumentTypeError, "expected a model of dlcourse.nn, got a builtins.str"),
        (lambda: load_torch_state_dict({}, {}), ArgumentTypeError, "expected a model of dlcourse.nn"),
        (
            lambda: to_torch_arrays(nn.Linear(2, 1), names={"fc": "x"}),
            ArgumentError,
            "no part 'fc'; it has weight, bias",
        ),
        (
            lambda: to_torch_arrays(nn.Linear(2, 1), names=["fc"]),
            ArgumentTypeError,
            "names are PyTorch's by those here",
        ),
    ],
)
def test_arguments_that_are_wrong(call: Any, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        call()


def test_an_order_that_is_not_known_is_refused() -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.linear = nn.Conv2d(2, 2, 1), nn.Linear(16, 1)

        def forward(self, x: Any) -> Any:
            flat = self.conv(x).flatten(1)
            return self.linear(dl.cat([flat, flat], 1))

    with pytest.raises(ArgumentError, match="joined with others, or cut"):
        to_torch_arrays(Joined(), (2, 2, 2))


def test_a_module_of_ones_own_says_where_its_channels_are() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(np.arange(6, dtype="float32").reshape(1, 2, 3))

        def torch_axis(self, name: str) -> int:
            return 0

    assert to_torch_arrays(Scale())["weight"].shape == (3, 1, 2)


def test_without_pytorch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert set(to_torch_arrays(nn.Linear(2, 1))) == {"weight", "bias"}
    for call in (lambda: to_torch_state_dict(nn.Linear(2, 1)), lambda: load_torch_state_dict(nn.Linear(2, 1), "a.pt")):
        with pytest.raises(UserError, match="PyTorch is not installed"):
            call()
