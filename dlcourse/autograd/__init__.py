"""Reverse-mode automatic differentiation on NumPy and CuPy arrays."""

from dlcourse.autograd.base import apply, lent
from dlcourse.autograd.check import GradcheckError, gradcheck, numerical_gradient
from dlcourse.autograd.context import Context
from dlcourse.autograd.creation import as_tensor, paired
from dlcourse.autograd.flat import FlatParameters
from dlcourse.autograd.function import Function
from dlcourse.autograd.gradients import grad
from dlcourse.autograd.graph import at_once, enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from dlcourse.autograd.parameter import Parameter
from dlcourse.autograd.tensor import Tensor, tensor

__all__ = [
    "Context",
    "FlatParameters",
    "Function",
    "GradcheckError",
    "Parameter",
    "Tensor",
    "apply",
    "as_tensor",
    "at_once",
    "enable_grad",
    "grad",
    "gradcheck",
    "inference_mode",
    "is_grad_enabled",
    "lent",
    "no_grad",
    "numerical_gradient",
    "paired",
    "set_grad_enabled",
    "tensor",
]
