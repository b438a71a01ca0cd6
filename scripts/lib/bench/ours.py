"""The workloads with dlcourse, by the classes that a config names and the trainer's own step."""

import platform
from collections.abc import Callable, Iterable

import numpy as np
from workloads import VGG_LAYERS, Workload

from dlcourse import models, nn, optim
from dlcourse.autograd import Tensor
from dlcourse.backend import random
from dlcourse.backend.cpu import mkl, onednn
from dlcourse.training.step import TrainStep


def versions() -> str:
    library = f", oneDNN {onednn.version()}" if onednn.available() else ", NumPy alone"
    library += ", MKL" if mkl.available() else ""
    return f"Python {platform.python_version()}, NumPy {np.__version__}{library}"


def model(workload: Workload) -> models.Model:
    random.manual_seed(0)
    shape, classes = workload.shape, workload.classes
    return {
        "softmax": lambda: models.SoftmaxModel(shape, classes, scale=0.01),
        "mlp": lambda: models.MLP(shape, classes, [512, 512]),
        "cnn3": lambda: models.CNN(shape, classes, channels=[32], hidden=[100], kernel_size=7),
        "vgg": lambda: models.VGG(shape, classes, VGG_LAYERS),
        "resnet20": lambda: models.ResNet(shape, classes, depth=20),
        "airbench": lambda: models.AirBench(shape, classes),
        "lstm": lambda: models.CharRNN(shape, classes, kind="lstm", hidden=256, embedding=64),
        "gpt": lambda: models.GPT(shape, classes, layers=4, heads=4, width=128),
    }[workload.name]()


def step(workload: Workload) -> Callable[[], object]:
    """One whole update, the batch in memory."""
    net = model(workload)
    update = TrainStep(net, nn.CrossEntropyLoss(), optimizer(workload, net.parameters()))
    x, y = workload.data()
    return lambda: update(x, y)


def optimizer(workload: Workload, parameters: Iterable) -> optim.Optimizer:
    return {
        "muon": _with_muon,
        "sgd": lambda p: optim.SGD(p, lr=1e-3),
        "momentum": lambda p: optim.SGD(p, lr=1e-3, momentum=0.9),
        "adam": lambda p: optim.Adam(p, lr=1e-3),
        "adamw": lambda p: optim.AdamW(p, lr=1e-3, weight_decay=0.01),
    }[workload.optimizer](parameters)


def _with_muon(parameters: Iterable) -> optim.Optimizer:
    """Muon for the filters, as the 94 % recipe has it; SGD for the rest."""
    params = list(parameters)
    muon = {"optimizer": optim.Muon, "lr": 0.02, "momentum": 0.6, "ns_steps": 3, "weight_decay": 0.0}
    filters, rest = [p for p in params if p.ndim == 4], [p for p in params if p.ndim != 4]
    groups = [{"params": rest}, {"params": filters, "normalize_weights": True, **muon}]
    return optim.SGD(groups, lr=1e-3, momentum=0.85, nesterov=True)


def gradients(workload: Workload, weights: list[np.ndarray] | None, precision: str) -> tuple:
    """The loss, the weights (drawn here) and their gradients."""
    net = model(workload).to(dtype=precision)
    x, y = workload.data()
    x = x.astype(precision) if x.dtype.kind == "f" else x
    loss = nn.CrossEntropyLoss()(net(Tensor(x)), y)
    loss.backward()
    trained = [p for p in net.parameters() if p.requires_grad]
    return loss.item(), [p.numpy() for p in net.parameters()], [p.grad.numpy() for p in trained]
