"""The names and signatures that users rely on, as the README shows them."""

import inspect
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, optim
from dlcourse.errors import ArgumentError, CheckpointError


def test_every_public_name_is_there() -> None:
    for name in dl.__all__:
        assert getattr(dl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = dl.nonsense


def test_dir_lists_what_is_public() -> None:
    assert {name for name in dir(dl) if not name.startswith("__")} == set(dl.__all__)


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (nn.Linear, "in_features, out_features, bias=True"),
        (nn.Conv2d, "in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True"),
        (nn.MaxPool2d, "kernel_size, stride=None"),
        (nn.AvgPool2d, "kernel_size, stride=None"),
        (nn.BatchNorm, "num_features, eps=1e-05, momentum=0.1"),
        (nn.LayerNorm, "dim, eps=1e-05"),
        (nn.Dropout, "p"),
        (nn.Embedding, "num, dim"),
        (nn.RNN, "input_size, hidden_size, num_layers=1"),
        (nn.LSTM, "input_size, hidden_size, num_layers=1"),
        (nn.GRU, "input_size, hidden_size, num_layers=1"),
        (nn.MultiHeadAttention, "dim, heads, causal=False, dropout=0.0"),
        (F.cross_entropy, "logits, labels, label_smoothing=0.0"),
        (F.multiclass_hinge, "scores, labels, margin=1.0"),
        (optim.SGD, "params, lr, momentum=0.0, nesterov=False, weight_decay=0.0"),
        (optim.Adam, "params, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0"),
        (optim.clip_grad_norm, "params, max_norm"),
        (dl.gradcheck, "fn, inputs"),
        (dl.TrainStep, "model, loss_fn, optimizer"),
        (dl.save, "path, state"),
        (dl.load, "path"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_signatures_begin_as_documented(function: object, signature: str) -> None:
    shown = []
    for p in inspect.signature(function).parameters.values():
        shown.append(p.name if p.default is inspect.Parameter.empty else f"{p.name}={p.default!r}")
    assert ", ".join(shown).replace("p=0.5", "p").startswith(signature)


def test_the_readmes_training_loop(device: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2)).astype("float32")
    labels = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)
    model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 3))
    step = dl.TrainStep(model, F.cross_entropy, optim.Adam(model.parameters(), lr=1e-2))
    first = step(x, labels).item()
    for _ in range(100):
        loss = step(x, labels)
    dl.synchronize()
    assert loss.item() < 0.2 * first


def test_device_is_a_context_manager() -> None:
    with dl.device("cpu"):
        assert dl.tensor([1.0]).device == "cpu"
    assert dl.set_device("cpu").name == "cpu"


def test_save_and_load_go_round(tmp_path) -> None:
    model = nn.Linear(3, 2)
    path = tmp_path / "weights.safetensors"
    dl.save(path, model.state_dict() | {"tensor": dl.tensor([1.0, 2.0]), "scalar": np.array(3.0)})
    state = dl.load(path)
    assert state.pop("scalar").shape == ()
    assert state.pop("tensor").tolist() == [1, 2]
    other = nn.Linear(3, 2)
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.weight.numpy(), model.weight.numpy())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with pytest.raises(TypeError, match="not an array"):
        dl.save(path, {"a": 1})
    assert dl.load(path)["weight"].shape == (2, 3)  # the failed save left the file as it was


@pytest.mark.parametrize("name", ["w.npz", "w.NPZ", "w.safetensors", "w"])
def test_save_writes_what_the_ending_says(tmp_path, name: str) -> None:
    state = {"file": np.arange(3), "b/scalar": np.array(2.5, "float32"), "mask": np.array([True]), "empty": np.ones(0)}
    dl.save(tmp_path / name, state)
    assert (tmp_path / name).read_bytes().startswith(b"PK") == name.lower().endswith(".npz")
    found = dl.load(tmp_path / name)
    assert {key: (value.dtype, value.tolist()) for key, value in found.items()} == {
        key: (value.dtype, value.tolist()) for key, value in state.items()
    }


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.npy", "w.h5", "w.pkl", "w.onnx", "w.csv"])
def test_save_refuses_what_it_does_not_write(tmp_path, name: str) -> None:
    with pytest.raises(ArgumentError, match=r"expected a name that ends in .safetensors or .npz, and this ends in"):
        dl.save(tmp_path / name, {"a": np.ones(2)})
    assert not list(tmp_path.iterdir())


def test_save_pickles_nothing(tmp_path) -> None:
    with pytest.raises(TypeError, match="'a' is of object, which an npz cannot hold"):
        dl.save(tmp_path / "w.npz", {"a": np.array([{}])})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "state", "message"),
    [
        ("w.safetensors", {"__metadata__": np.ones(2)}, "keeps the name '__metadata__' for itself"),
        ("w.npz", {"a\0b": np.ones(2)}, "cannot hold the name"),
        ("w.npz", {"\udc80": np.ones(2)}, "cannot hold the name"),
        ("w.npz", [np.ones(2)], "expected arrays by name, such as model.state_dict"),
        ("w.npz", nn.Linear(2, 3), "expected arrays by name, such as model.state_dict"),
    ],
)
def test_save_refuses_what_could_not_be_loaded(tmp_path, name: str, state: object, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        dl.save(tmp_path / name, state)
    assert not list(tmp_path.iterdir())


def test_an_archive_of_other_things_is_no_state(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "weights.pt", "w") as archive:  # as PyTorch's files are
        archive.writestr("weights/data.pkl", b"code")
    with pytest.raises(CheckpointError, match="'weights/data.pkl' in it is no array; PyTorch's own files hold code"):
        dl.load(tmp_path / "weights.pt")


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "PK"])
def test_a_damaged_file_is_one_clear_error(tmp_path, damage: str, ending: str) -> None:
    path = tmp_path / f"weights.{ending}"
    dl.save(path, nn.Linear(3, 2).state_dict())
    if damage == "missing":
        path.unlink()
    else:
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "cut": whole[:-3], "text": b"hello", "PK": b"PK\3\4"}[damage])
    with pytest.raises(CheckpointError, match=rf"weights\.{ending}"):
        dl.load(path)


def test_import_is_light() -> None:
    """`dlcourse --help` should not wait for NumPy, let alone plots."""
    code = "import sys, dlcourse; print(*{'numpy', 'matplotlib', 'cupy', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
