"""dlcourse: every experiment of a deep-learning course from a YAML file, on NumPy or CuPy, by one trainer.

From Python::

    import dlcourse as dl
    from dlcourse import nn, optim, functional as F

    dl.set_device("auto")
    model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 3))
    step = dl.TrainStep(model, F.cross_entropy, optim.Adam(model.parameters(), lr=1e-3))
    loss = step(x, labels)

    result = dl.run("configs/02_machine_learning/rent_line.yaml")
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:  # what an editor and a type checker read
    from dlcourse import autograd as autograd
    from dlcourse import backend as backend
    from dlcourse import config as config
    from dlcourse import data as data
    from dlcourse import functional as functional
    from dlcourse import metrics as metrics
    from dlcourse import models as models
    from dlcourse import nn as nn
    from dlcourse import optim as optim
    from dlcourse import plots as plots
    from dlcourse import registry as registry
    from dlcourse import sweeps as sweeps
    from dlcourse import training as training
    from dlcourse.autograd import Function as Function
    from dlcourse.autograd import Parameter as Parameter
    from dlcourse.autograd import Tensor as Tensor
    from dlcourse.autograd import apply as apply
    from dlcourse.autograd import as_tensor as as_tensor
    from dlcourse.autograd import gradcheck as gradcheck
    from dlcourse.autograd import no_grad as no_grad
    from dlcourse.autograd.tensor import tensor as tensor
    from dlcourse.backend.device import set_device as set_device
    from dlcourse.backend.device import synchronize as synchronize
    from dlcourse.backend.device import use as device  # noqa: F401
    from dlcourse.backend.random import manual_seed as manual_seed
    from dlcourse.data import DataLoader as DataLoader
    from dlcourse.data import load_data as load_data
    from dlcourse.experiment import load_run as load_run
    from dlcourse.experiment import run as run
    from dlcourse.serialize import load as load
    from dlcourse.serialize import save as save
    from dlcourse.training.step import TrainStep as TrainStep
else:  # the same names, each imported when it is first used: `dlcourse --help` should not wait for NumPy
    _HOMES = {
        "autograd": ("Function", "Parameter", "Tensor", "apply", "as_tensor", "gradcheck", "no_grad", "tensor"),
        "backend.device": ("set_device", "synchronize"),
        "backend.random": ("manual_seed",),
        "data": ("DataLoader", "load_data"),
        "experiment": ("load_run", "run"),
        "serialize": ("load", "save"),
        "training.step": ("TrainStep",),
    }
    _origins = {name: (home, name) for home, names in _HOMES.items() for name in names}
    _origins["device"] = ("backend.device", "use")
    _SUBPACKAGES = (
        *("autograd", "backend", "config", "data", "functional", "metrics", "models", "nn", "optim", "plots"),
        *("registry", "sweeps", "training"),
    )
    __all__ = sorted([*_origins, *_SUBPACKAGES])

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'dlcourse' has no attribute {name!r}")
        module, attribute = _origins.get(name, (name, None))
        value = importlib.import_module(f"dlcourse.{module}")
        globals()[name] = getattr(value, attribute) if attribute else value
        return globals()[name]

    def __dir__() -> list[str]:
        return [*__all__, *(name for name in globals() if name.startswith("__"))]
