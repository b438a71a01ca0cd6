"""The attacks held against those of Foolbox, a public library (Rauber et al. 2017), on the same weights (lecture 15).

    DLCOURSE_DATA=<folder> dlcourse run configs/15_adversarial/mnist_cnn_attacked.yaml
    DLCOURSE_DATA=<folder> python configs/15_adversarial/against_foolbox.py runs/mnist-cnn-attacked [COUNT]

It takes the net of a run (model `cnn` or `softmax`, inputs in 0..1) to PyTorch, and lets both attack the first COUNT
(100) test images. Without a random start their steps are the same, so the results are too, but for what float32 leaves
of a gradient: its sign where it is near 0, all of it where the net is so sure that 1 - p is rounding. DeepFool goes on
here from the image that was brought back to the box, there from the sum of all steps. Needs PyTorch and Foolbox
(pip install foolbox).
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

try:
    import foolbox
    import torch
except ImportError as error:
    sys.exit(f"against_foolbox.py needs {error.name}, which is not installed: pip install torch foolbox")

import dlcourse as dl
from dlcourse.attacks import FGSM, PGD, Attack, CarliniWagner, DeepFool
from dlcourse.errors import DlcourseError
from dlcourse.interop.torch import to_torch_state_dict


@dataclass(frozen=True)
class Pair:
    """An attack here and in Foolbox, and the size that both are given; none for the smallest perturbation."""

    name: str
    ours: Attack
    theirs: Any
    epsilon: float | None = None


def pairs(epsilon: float = 0.1, length: float = 1.5, search: int = 200) -> list[Pair]:
    """The attacks: of sizes ``epsilon`` in the maximum and ``length`` in the Euclidean norm, and two searches."""
    fb, still = foolbox.attacks, {"random_start": False}
    return [
        Pair("FGSM", FGSM(epsilon), fb.LinfFastGradientAttack(), epsilon),
        Pair("FGSM, L2", FGSM(length, "l2"), fb.L2FastGradientAttack(), length),
        Pair(
            "PGD, 40 steps",
            PGD(epsilon, 40, epsilon / 20, **still),
            fb.LinfProjectedGradientDescentAttack(abs_stepsize=epsilon / 20, steps=40, **still),
            epsilon,
        ),
        Pair(
            "PGD, L2, 40 steps",
            PGD(length, 40, length / 20, "l2", **still),
            fb.L2ProjectedGradientDescentAttack(abs_stepsize=length / 20, steps=40, **still),
            length,
        ),
        Pair("DeepFool", DeepFool(candidates=9), fb.L2DeepFoolAttack(candidates=10)),
        Pair(
            "Carlini and Wagner",
            CarliniWagner(search, 0.05, 6, 1.0),
            fb.L2CarliniWagnerAttack(6, search, 0.05, 0, 1.0, abort_early=False),
        ),
    ]


def twin(ours: Any) -> torch.nn.Module:
    """The same net in PyTorch, with the same weights; channels come first there."""
    made: dict[str, Callable[[Any], torch.nn.Module]] = {
        "Conv2d": lambda m: torch.nn.Conv2d(
            m.weight.shape[3], m.weight.shape[0], m.kernel_size, m.stride, m.padding, bias=m.bias is not None
        ),
        "BatchNorm": lambda m: torch.nn.BatchNorm2d(m.num_features),
        "ReLU": lambda m: torch.nn.ReLU(),
        "MaxPool2d": lambda m: torch.nn.MaxPool2d(m.kernel_size, m.stride),
        "Dropout": lambda m: torch.nn.Dropout(m.p),
        "Flatten": lambda m: torch.nn.Flatten(),
        "Linear": lambda m: torch.nn.Linear(m.in_features, m.out_features, bias=m.bias is not None),
    }
    if "weight" in ours.state_dict():  # softmax
        net: torch.nn.Module = _Softmax(ours.weight.shape[1], ours.weight.shape[0])
    else:
        net = torch.nn.Module()
        net.layers = torch.nn.Sequential(*(made[type(m).__name__](m) for m in ours.layers))
        net.forward = net.layers.forward
    net.load_state_dict(to_torch_state_dict(ours))
    return net.eval()


class _Softmax(torch.nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(1))


def compare(model: Any, x: np.ndarray, y: np.ndarray, attacks: list[Pair]) -> Iterator[tuple[str, float, float, float]]:
    """Name, accuracy or mean length here and there, and the share of images that differ by more than 1e-3 somewhere."""
    bounded = foolbox.PyTorchModel(twin(model), bounds=(0, 1), device="cpu")
    first, labels = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(y)
    for each in attacks:
        ours = each.ours(model, x, y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, found, _ = each.theirs(bounded, first, labels, epsilons=each.epsilon)
        theirs = found.numpy().transpose(0, 2, 3, 1)
        figures = [_figure(model, z, x, y, each.epsilon is None) for z in (ours, theirs)]
        yield each.name, *figures, float((abs(ours - theirs).max(axis=(1, 2, 3)) > 1e-3).mean())


def _figure(model: Any, changed: np.ndarray, x: np.ndarray, y: np.ndarray, smallest: bool) -> float:
    if smallest:
        return float(np.sqrt(((changed - x) ** 2).sum(axis=(1, 2, 3))).mean())
    return float((model.eval()(dl.tensor(changed)).numpy().argmax(axis=1) == y).mean())


def main(folder: str, count: str = "100") -> None:
    run = dl.load_run(folder, "cpu")
    test = dl.load_data(run.folder.path / "config.yaml").test
    x, y = np.asarray(test.inputs[: int(count)], "float32"), np.asarray(test.targets[: int(count)])
    right = run.model.eval()(dl.tensor(x)).numpy().argmax(axis=1) == y
    x, y = x[right], y[right]
    print(f"{len(x)} images that the net gets right; accuracy under attack, or mean length of the smallest change")
    print(f"{'':20} {'here':>8} {'Foolbox':>8} {'images that differ':>19}")
    for name, here, there, differ in compare(run.model, x, y, pairs()):
        print(f"{name:20} {here:8.4f} {there:8.4f} {differ:19.3f}", flush=True)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except DlcourseError as error:
        sys.exit(f"against_foolbox.py: {error}")
