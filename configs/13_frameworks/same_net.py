"""The same net in two frameworks (lecture 13): trained here, taken to PyTorch, trained on in both, and back.

    DLCOURSE_DATA=<folder> python configs/13_frameworks/same_net.py [KEY=VALUE ...]

It trains the net of same_net.yaml (KEY=VALUE changes its data or training), gives the weights to the same net in
PyTorch's words, and compares what the two compute: outputs, gradients, 50 further steps. Then the weights come back,
and onnxruntime runs the net from a file. Needs PyTorch; for the last line also onnx and onnxruntime.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

try:
    import torch
except ImportError:
    sys.exit("same_net.py holds a net against PyTorch, which is not installed: pip install torch")

import dlcourse as dl
from dlcourse.errors import DlcourseError
from dlcourse.interop.torch import load_torch_state_dict, to_torch_state_dict

STEPS, BATCH = 50, 100


class Net(torch.nn.Module):
    """The model `cnn` of the config in PyTorch: channels come first there, all else has the same names."""

    def __init__(self, in_channels: int, side: int, classes: int):
        super().__init__()
        nn = torch.nn
        self.layers = nn.Sequential(
            *(nn.Conv2d(in_channels, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(16 * (side // 4) ** 2, 32), nn.ReLU(), nn.Linear(32, classes)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def main(overrides: list[str] | dict) -> None:
    result = dl.run(Path(__file__).with_suffix(".yaml"), overrides=overrides, device="cpu", quiet=True, plots=False)
    data = dl.load_data(result.folder / "config.yaml")
    (x_train, y_train), (x, y) = ((np.asarray(s.inputs, "float32"), s.targets) for s in (data.train, data.test))
    ours = result.model
    theirs = Net(x.shape[3], x.shape[1], ours.out_features)
    theirs.load_state_dict(to_torch_state_dict(ours))  # nothing is missing, nothing left over

    print(f"{'':36} {'here':>10} {'PyTorch':>10} {'difference':>11}")
    compare("outputs on test images, the largest", outputs_here(ours, x), outputs_there(theirs, x))
    accuracies = [float((out.argmax(1) == y).mean()) for out in (outputs_here(ours, x), outputs_there(theirs, x))]
    compare("test accuracy", *accuracies)
    here, there = gradients(ours, theirs, x_train[:BATCH], y_train[:BATCH])
    compare("gradients, the largest", here, there)
    losses = train_both(ours, theirs, x_train, y_train)
    compare("loss at the first of further steps", losses[0, 0], losses[0, 1])
    compare(f"loss {len(losses)} steps later", losses[-1, 0], losses[-1, 1])
    compare("outputs after them, the largest", outputs_here(ours, x), outputs_there(theirs, x))
    load_torch_state_dict(ours, theirs.state_dict())
    compare("the same with PyTorch's weights here", outputs_here(ours, x), outputs_there(theirs, x))
    try:
        found = outputs_by_onnx(ours, x)
    except (ImportError, DlcourseError) as error:
        print(f"ONNX: left out: {error}")
    else:
        compare("here and by onnxruntime", outputs_here(ours, x), found)


def compare(what: str, here: np.ndarray | float, there: np.ndarray | float) -> None:
    """A line of the table: the largest number of each, and the largest difference relative to that."""
    tops = [float(np.abs(each).max()) for each in (here, there)]
    difference = float(np.abs(np.asarray(here) - there).max()) / (tops[0] or 1)
    print(f"{what:36} {tops[0]:>10.5f} {tops[1]:>10.5f} {difference:>11.1e}")


def channels_first(x: np.ndarray) -> torch.Tensor:
    """Images (N, H, W, C) as PyTorch's (N, C, H, W)."""
    return torch.from_numpy(x).permute(0, 3, 1, 2)


def outputs_here(model: dl.nn.Module, x: np.ndarray) -> np.ndarray:
    with dl.no_grad():
        return model.eval()(dl.tensor(x)).numpy()


def outputs_there(model: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model.eval()(channels_first(x)).numpy()


def gradients(ours: dl.nn.Module, theirs: torch.nn.Module, x: np.ndarray, y: np.ndarray) -> tuple:
    """The gradients of the first and of the last layer's weights, as one vector of each framework."""
    ours.eval().zero_grad()
    theirs.eval().zero_grad()
    dl.functional.cross_entropy(ours(dl.tensor(x)), y).backward()
    torch.nn.functional.cross_entropy(theirs(channels_first(x)), torch.from_numpy(y)).backward()
    last = ours.layers[-1].weight.grad.numpy(), theirs.layers[-1].weight.grad.numpy()
    kernels = ours.layers[0].weight.grad.numpy(), theirs.layers[0].weight.grad.permute(0, 2, 3, 1).numpy()
    return tuple(np.concatenate([each.reshape(-1) for each in pair]) for pair in zip(last, kernels, strict=True))


def train_both(ours: dl.nn.Module, theirs: torch.nn.Module, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Losses (steps, 2) of both, by SGD with momentum on the same batches."""
    step = dl.TrainStep(ours.train(), dl.functional.cross_entropy, dl.optim.SGD(ours.parameters(), 0.01, momentum=0.9))
    theirs.train()
    optimizer = torch.optim.SGD(theirs.parameters(), 0.01, momentum=0.9)
    losses = []
    for number in range(STEPS):
        rows = np.arange(number * BATCH, (number + 1) * BATCH) % len(x)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(theirs(channels_first(x[rows])), torch.from_numpy(y[rows]))
        loss.backward()
        optimizer.step()
        losses.append((float(step(dl.tensor(x[rows]), y[rows])), loss.item()))
    return np.array(losses)


def outputs_by_onnx(model: dl.nn.Module, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        dl.interop.onnx.export(model, path)
        return onnxruntime.InferenceSession(path).run(None, {"input": x})[0]


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except DlcourseError as error:
        sys.exit(str(error))
