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
    from dlcourse.autograd.factories import *  # noqa: F403
    from dlcourse.autograd.factories import bool_ as bool  # noqa: F401
    from dlcourse.autograd.factories import float_ as float  # noqa: F401
    from dlcourse.autograd.factories import int_ as int  # noqa: F401
    from dlcourse.autograd.functions import *  # noqa: F403
    from dlcourse.autograd.functions import abs_ as abs  # noqa: F401
    from dlcourse.autograd.functions import all_ as all  # noqa: F401
    from dlcourse.autograd.functions import any_ as any  # noqa: F401
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
    from dlcourse.nn.functional import softmax as softmax
    from dlcourse.nn.functional import trace as trace
    from dlcourse.serialize import load as load
    from dlcourse.serialize import save as save
    from dlcourse.training.step import TrainStep as TrainStep
    from dlcourse.training.watch import inspect_step as inspect_step
else:  # the same names, each imported when it is first used: `dlcourse --help` should not wait for NumPy
    _FACTORIES = (
        "arange bernoulli double e empty empty_like eye float16 float32 float64 from_numpy full full_like half "
        "inf int16 int32 int64 int8 linspace long multinomial nan normal ones ones_like pi rand rand_like randint "
        "randn randn_like randperm uint8 zeros zeros_like "
    )
    _FUNCTIONS = (
        "absolute acos acosh add allclose amax amin arccos arccosh arcsin arcsinh arctan arctanh argmax argmin "
        "argsort asin asinh atan atanh bincount bmm cat ceil chunk clamp clip clone concat concatenate cos cosh "
        "cumsum deg2rad diag diagonal div dot eq equal erf erfc exp exp2 expm1 fix flatten flip floor frac gather "
        "ge gt hstack index_select is_floating_point is_tensor isfinite isinf isnan le log log10 log1p log2 "
        "logical_and logical_not logical_or logit lt masked_fill masked_select matmul maximum mean minimum mm "
        "movedim mul mv ne neg nonzero norm numel outer permute prod rad2deg reciprocal relu remainder reshape "
        "rsqrt sigmoid sign sin sinc sinh sort split sqrt square squeeze stack std sub t tan tanh tile topk "
        "transpose tril triu trunc unbind unique unsqueeze var vstack where "
    )
    _HOMES = {
        "autograd": (
            *("Function", "Parameter", "Tensor", "apply", "as_tensor", "enable_grad", "gradcheck", "is_grad_enabled"),
            *("inference_mode", "no_grad", "set_grad_enabled", "tensor"),
        ),
        "autograd.factories": _FACTORIES.split(),
        "autograd.functions": _FUNCTIONS.split(),
        "backend.device": ("set_device", "synchronize"),
        "backend.random": ("manual_seed",),
        "data": ("DataLoader", "load_data"),
        "experiment": ("load_run", "run"),
        "nn.functional": ("log_softmax", "logdet", "logsumexp", "softmax", "trace"),
        "serialize": ("load", "save"),
        "training.step": ("TrainStep",),
        "training.watch": ("inspect_step",),
    }
    _origins = {name: (home, name) for home, names in _HOMES.items() for name in names}
    _origins["device"] = ("backend.device", "use")
    _origins["functional"] = ("nn.functional", None)
    _origins["cuda"] = ("backend.presence", None)
    for home, names in {"factories": "bool float int", "functions": "abs all any max min pow round sum"}.items():
        for name in names.split():
            _origins[name] = (f"autograd.{home}", f"{name}_")  # there it would hide Python's own
    del home, names, name
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

    class _Absent:
        """Asked last for a module: one of PyTorch's that is not here, as in ``from dlcourse.utils.data import ...``."""

        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            if name.startswith("dlcourse."):
                from dlcourse.habits import refuse_import

                refuse_import(name)

    sys.meta_path.append(_Absent)
