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
import sys
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:  # what an editor and a type checker read
    from dlcourse import autograd as autograd
    from dlcourse import backend as backend
    from dlcourse import config as config
    from dlcourse import data as data
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
    from dlcourse.autograd import enable_grad as enable_grad
    from dlcourse.autograd import gradcheck as gradcheck
    from dlcourse.autograd import inference_mode as inference_mode
    from dlcourse.autograd import is_grad_enabled as is_grad_enabled
    from dlcourse.autograd import no_grad as no_grad
    from dlcourse.autograd import set_grad_enabled as set_grad_enabled
    from dlcourse.autograd.functions import *  # noqa: F403
    from dlcourse.autograd.functions import abs_ as abs  # noqa: F401
    from dlcourse.autograd.functions import all_ as all  # noqa: F401
    from dlcourse.autograd.functions import any_ as any  # noqa: F401
    from dlcourse.autograd.functions import bool_ as bool  # noqa: F401
    from dlcourse.autograd.functions import float_ as float  # noqa: F401
    from dlcourse.autograd.functions import int_ as int  # noqa: F401
    from dlcourse.autograd.functions import max_ as max  # noqa: F401
    from dlcourse.autograd.functions import min_ as min  # noqa: F401
    from dlcourse.autograd.functions import pow_ as pow  # noqa: F401
    from dlcourse.autograd.functions import round_ as round  # noqa: F401
    from dlcourse.autograd.functions import sum_ as sum  # noqa: F401
    from dlcourse.autograd.tensor import tensor as tensor
    from dlcourse.backend import presence as cuda  # noqa: F401
    from dlcourse.backend.device import set_device as set_device
    from dlcourse.backend.device import synchronize as synchronize
    from dlcourse.backend.device import use as device  # noqa: F401
    from dlcourse.backend.random import manual_seed as manual_seed
    from dlcourse.data import DataLoader as DataLoader
    from dlcourse.data import load_data as load_data
    from dlcourse.experiment import load_run as load_run
    from dlcourse.experiment import run as run
    from dlcourse.nn import functional as functional
    from dlcourse.nn.functional import log_softmax as log_softmax
    from dlcourse.nn.functional import logdet as logdet
    from dlcourse.nn.functional import logsumexp as logsumexp
    from dlcourse.nn.functional import sigmoid as sigmoid
    from dlcourse.nn.functional import softmax as softmax
    from dlcourse.nn.functional import trace as trace
    from dlcourse.serialize import load as load
    from dlcourse.serialize import save as save
    from dlcourse.training.step import TrainStep as TrainStep
    from dlcourse.training.watch import inspect_step as inspect_step
else:  # the same names, each imported when it is first used: `dlcourse --help` should not wait for NumPy
    _FUNCTIONS = (
        "add allclose amax amin arange argmax argmin argsort bernoulli bincount bmm cat ceil chunk clamp clip "
        "clone concat concatenate cos cumsum diag diagonal div dot double e empty empty_like eq equal exp expm1 "
        "eye flatten flip float16 float32 float64 floor from_numpy full full_like gather ge gt half hstack "
        "index_select inf int16 int32 int64 int8 is_floating_point is_tensor isfinite isinf isnan le linspace log "
        "log1p logical_and logical_not logical_or long lt masked_fill masked_select matmul maximum mean minimum "
        "mm movedim mul multinomial mv nan ne neg nonzero norm normal numel ones ones_like outer permute pi prod "
        "rand rand_like randint randn randn_like randperm reciprocal relu remainder reshape rsqrt sign sin sort "
        "split sqrt square squeeze stack std sub t tanh tile topk transpose tril triu uint8 unbind unique "
        "unsqueeze var vstack where zeros zeros_like "
    )
    _HOMES = {
        "autograd": (
            *("Function", "Parameter", "Tensor", "apply", "as_tensor", "enable_grad", "gradcheck", "is_grad_enabled"),
            *("inference_mode", "no_grad", "set_grad_enabled", "tensor"),
        ),
        "autograd.functions": _FUNCTIONS.split(),
        "backend.device": ("set_device", "synchronize"),
        "backend.random": ("manual_seed",),
        "data": ("DataLoader", "load_data"),
        "experiment": ("load_run", "run"),
        "nn.functional": ("log_softmax", "logdet", "logsumexp", "sigmoid", "softmax", "trace"),
        "serialize": ("load", "save"),
        "training.step": ("TrainStep",),
        "training.watch": ("inspect_step",),
    }
    _origins = {name: (home, name) for home, names in _HOMES.items() for name in names}
    _origins["device"] = ("backend.device", "use")
    _origins["functional"] = ("nn.functional", None)
    _origins["cuda"] = ("backend.presence", None)
    for name in ("abs", "all", "any", "bool", "float", "int", "max", "min", "pow", "round", "sum"):
        _origins[name] = ("autograd.functions", f"{name}_")  # there it would hide Python's own
    del name
    _SUBPACKAGES = (
        *("autograd", "backend", "config", "data", "metrics", "models", "nn", "optim", "plots"),
        *("registry", "sweeps", "training"),
    )
    __all__ = sorted([*_origins, *_SUBPACKAGES])

    def __getattr__(name: str) -> object:
        if name not in __all__:
            from dlcourse.habits import missing

            raise missing("dl", name, f"module 'dlcourse' has no attribute {name!r}", sys.modules[__name__])
        module, attribute = _origins.get(name, (name, None))
        value = importlib.import_module(f"dlcourse.{module}")
        globals()[name] = getattr(value, attribute) if attribute else value
        return globals()[name]

    def __dir__() -> list[str]:
        return [*__all__, *(name for name in globals() if name.startswith("__"))]
