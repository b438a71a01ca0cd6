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

__version__ = "0.1.0"

# Names are looked up when first used: `dlcourse --help` should not wait for NumPy.
_HOMES = {
    "dlcourse.autograd": ("Function", "Parameter", "Tensor", "apply", "as_tensor", "gradcheck", "no_grad", "tensor"),
    "dlcourse.backend.device": ("set_device", "synchronize"),
    "dlcourse.backend.random": ("manual_seed",),
    "dlcourse.experiment": ("run",),
    "dlcourse.serialize": ("load", "save"),
    "dlcourse.training.step": ("TrainStep",),
}
_home_of = {name: home for home, names in _HOMES.items() for name in names}
_SUBPACKAGES = (
    "autograd",
    "backend",
    "config",
    "data",
    "functional",
    "metrics",
    "models",
    "nn",
    "optim",
    "plots",
    "registry",
    "sweeps",
    "training",
)

__all__ = sorted([*_home_of, *_SUBPACKAGES, "device"])


def __getattr__(name: str) -> object:
    if name in _home_of:
        value = getattr(importlib.import_module(_home_of[name]), name)
    elif name == "device":
        value = importlib.import_module("dlcourse.backend.device").use
    elif name in _SUBPACKAGES:
        value = importlib.import_module(f"dlcourse.{name}")
    else:
        raise AttributeError(f"module 'dlcourse' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
