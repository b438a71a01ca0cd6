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
    from dlcourse import explain as explain
    from dlcourse import interop as interop
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
    from dlcourse.autograd import linalg_functions as linalg  # noqa: F401
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
    from dlcourse.autograd.joining import *  # noqa: F403
    from dlcourse.autograd.products import *  # noqa: F403
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
    from dlcourse.graphs.build import graph as graph
    from dlcourse.nn import functional as functional
    from dlcourse.nn.functional import log_softmax as log_softmax
    from dlcourse.nn.functional import logdet as logdet
    from dlcourse.nn.functional import logsumexp as logsumexp
    from dlcourse.nn.functional import softmax as softmax
    from dlcourse.nn.functional import trace as trace
    from dlcourse.serialize import load as load
    from dlcourse.serialize import save as save
    from dlcourse.training.alternating import AlternatingStep as AlternatingStep
    from dlcourse.training.step import TrainStep as TrainStep
    from dlcourse.training.watch import inspect_step as inspect_step
else:  # the same names, each imported when it is first used: `dlcourse --help` should not wait for NumPy
    _FACTORIES = (
        "arange bernoulli double e empty empty_like eye float16 float32 float64 from_dlpack from_numpy full full_like "
        "half inf int16 int32 int64 int8 linspace logspace long multinomial nan normal ones ones_like pi rand "
        "rand_like randint randint_like randn randn_like randperm scalar_tensor tril_indices triu_indices uint8 "
        "zeros zeros_like "
    )
    _JOINING = (
        "atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors cartesian_prod cat "
        "column_stack combinations concat concatenate dstack hstack meshgrid row_stack stack vstack "
    )
    _PRODUCTS = "cdist einsum kron tensordot "
    _FUNCTIONS = (
        "absolute acos acosh add addbmm addcdiv addcmul addmm addmv addr adjoint allclose amax amin aminmax "
        "arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argsort argwhere asin asinh atan "
        "atan2 atanh baddbmm bincount bitwise_and bitwise_not bitwise_or bitwise_xor bmm broadcast_to bucketize "
        "ceil chunk clamp clamp_max clamp_min clip clone copysign corrcoef cos cosh count_nonzero cov cross "
        "cummax cummin cumprod cumsum deg2rad diag diag_embed diagflat diagonal diagonal_scatter diff digamma "
        "dist div divide dot dsplit eq equal erf erfc exp exp2 expm1 finfo fix flatten flip fliplr flipud floor "
        "floor_divide fmax fmin fmod frac gather ge ger greater greater_equal gt heaviside histc hsplit hypot "
        "iinfo index_add index_copy index_fill index_put index_select inner is_floating_point is_tensor isclose "
        "isfinite isin isinf isnan isneginf isposinf kthvalue le lerp less less_equal lgamma log log10 log1p log2 "
        "logaddexp logaddexp2 logcumsumexp logical_and logical_not logical_or logical_xor logit lt masked_fill "
        "masked_scatter masked_select matmul maximum mean median minimum mm moveaxis movedim msort mul multiply "
        "mv nan_to_num nanmean nanmedian nansum narrow ne neg negative nonzero norm not_equal numel outer permute "
        "prod quantile rad2deg ravel reciprocal relu remainder repeat_interleave reshape roll rot90 rsqrt scatter "
        "scatter_add scatter_reduce searchsorted select select_scatter sigmoid sign signbit sin sinc sinh "
        "slice_scatter sort split sqrt square squeeze std std_mean sub subtract swapaxes swapdims t take "
        "take_along_dim tan tanh tensor_split tile topk transpose tril triu true_divide trunc unbind unflatten "
        "unique unique_consecutive unsqueeze var var_mean vdot vsplit where xlogy "
    )
    _HOMES = {
        "autograd": (
            *("Function", "Parameter", "Tensor", "apply", "as_tensor", "enable_grad", "gradcheck", "is_grad_enabled"),
            *("inference_mode", "no_grad", "set_grad_enabled", "tensor"),
        ),
        "autograd.factories": _FACTORIES.split(),
        "autograd.functions": _FUNCTIONS.split(),
        "autograd.joining": _JOINING.split(),
        "autograd.products": _PRODUCTS.split(),
        "backend.device": ("set_device", "synchronize"),
        "backend.random": ("manual_seed",),
        "data": ("DataLoader", "load_data"),
        "experiment": ("load_run", "run"),
        "graphs.build": ("graph",),
        "nn.functional": ("log_softmax", "logdet", "logsumexp", "softmax", "trace"),
        "serialize": ("load", "save"),
        "training.alternating": ("AlternatingStep",),
        "training.step": ("TrainStep",),
        "training.watch": ("inspect_step",),
    }
    _origins = {name: (home, name) for home, names in _HOMES.items() for name in names}
    _origins["device"] = ("backend.device", "use")
    _origins["functional"] = ("nn.functional", None)
    _origins["cuda"] = ("backend.presence", None)
    _origins["linalg"] = ("autograd.linalg_functions", None)
    for home, names in {"factories": "bool float int", "functions": "abs all any max min pow round sum"}.items():
        for name in names.split():
            _origins[name] = (f"autograd.{home}", f"{name}_")  # there it would hide Python's own
    del home, names, name
    _SUBPACKAGES = (
        *("autograd", "backend", "config", "data", "explain", "interop", "metrics", "models", "nn", "optim"),
        *("plots", "registry", "sweeps", "training"),
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
