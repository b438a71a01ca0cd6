"""Parameters that are computed from others: ``torch.nn.utils.parametrize``.

A module with a parametrized weight belongs to a class of its own, whose ``weight`` is computed anew at each look by
what lies in ``module.parametrizations.weight``; that holds the parameters that are trained.
"""

import functools
from typing import Any

from dlcourse.autograd import Parameter, Tensor, as_tensor, no_grad
from dlcourse.errors import ArgumentError, ArgumentTypeError, ShapeError
from dlcourse.nn.container import ModuleDict
from dlcourse.nn.module import Module

__all__ = ["is_parametrized", "register_parametrization", "remove_parametrizations"]


class ParametrizationList(Module):
    """The parameters that stand for a weight (``original``, or ``original0``, ``original1`` ...) and the modules ``0``,
    ``1`` ... that make it of them, one after the other."""

    def __init__(self, weight: Parameter):
        super().__init__()
        self.count, self.shape = 0, weight.shape
        self.original = weight

    def append(self, parametrization: Module) -> None:
        """Let a module come after those that are there. Of a first one with ``right_inverse`` the parameters are what
        that makes of the weight."""
        if self.count == 0 and hasattr(parametrization, "right_inverse"):
            with no_grad():
                found = parametrization.right_inverse(self.original)
            if isinstance(found, tuple | list):
                del self.original
                for number, each in enumerate(found):
                    setattr(self, f"original{number}", Parameter(as_tensor(each).detach().clone()))
            elif found is not self.original:
                self.original = Parameter(as_tensor(found).detach().clone())
        setattr(self, str(self.count), parametrization)
        self.count += 1
        with no_grad():
            shape = as_tensor(self()).shape
        if shape != self.shape:
            raise ShapeError(f"a parametrization made a tensor of shape {shape} for a weight of shape {self.shape}")

    def forward(self) -> Tensor:
        """The weight."""
        x: Any = [value for name, value in vars(self).items() if name.startswith("original")]
        for number in range(self.count):
            x = [getattr(self, str(number))(*x)]
        return x[0]


def is_parametrized(module: Any, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrized weights, or that one."""
    held = getattr(module, "parametrizations", None)
    return isinstance(held, ModuleDict) and (tensor_name is None or tensor_name in held)


def current(module: Any, tensor_name: str) -> Tensor:
    """The parameter of that name, or what is computed in its place.

    Raises:
        ArgumentError: there is neither.
    """
    if is_parametrized(module, tensor_name):
        return getattr(module, tensor_name)
    weight = vars(module).get(tensor_name)
    if not isinstance(weight, Parameter):
        names = ", ".join(name for name, _ in module.named_parameters(recurse=False)) or "none"
        raise ArgumentError(f"{type(module).__name__} has no parameter {tensor_name!r} of its own; it has: {names}")
    return weight


def register_parametrization(module: Any, tensor_name: str, parametrization: Module) -> Module:
    """Have a parameter computed by a module, ``weight = parametrization(original)``; returns the module.

    Args:
        module: whose parameter it is.
        tensor_name: its name.
        parametrization: makes the weight of what is trained. With ``right_inverse(weight)``, which goes the other way,
            the weight is at first what it was; a tuple of tensors from there becomes several parameters.
    Raises:
        ArgumentError: the module has no such parameter.
        ShapeError: the parametrization makes a tensor of another shape.
    Example:
        >>> class Symmetric(nn.Module):
        ...     def forward(self, x):
        ...         return x.triu() + x.triu(1).T
        >>> layer = nn.utils.parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
        >>> bool((layer.weight == layer.weight.T).all())
        True
    """
    if not isinstance(parametrization, Module):
        raise ArgumentTypeError(f"register_parametrization: expected a module, got a {type(parametrization).__name__}")
    weight = current(module, tensor_name)
    if isinstance(weight, Parameter):
        made = ParametrizationList(weight)
        made.append(parametrization)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            module.parametrizations = ModuleDict()
        module.parametrizations[tensor_name] = made
        _set_class(module)
    else:
        module.parametrizations[tensor_name].append(parametrization)
    return module


def remove_parametrizations(module: Any, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make a parametrized weight a parameter again; returns the module.

    Args:
        leave_parametrized: with the value that was computed; else the one parameter that it was computed from.
    Raises:
        ArgumentError: it is not parametrized, or was computed from several parameters that are to be left.
    """
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(f"{type(module).__name__}.{tensor_name} is not parametrized")
    held = module.parametrizations[tensor_name]
    if not leave_parametrized and not hasattr(held, "original"):
        raise ArgumentError(f"{tensor_name} is made of several parameters: leave_parametrized=False has none to leave")
    if leave_parametrized:
        with no_grad():
            weight = Parameter(held().detach().clone())
    else:
        weight = held.original
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        del module.parametrizations
    _set_class(module)
    setattr(module, tensor_name, weight)
    return module


def _set_class(module: Any) -> None:
    kind: Any = getattr(type(module), "_parametrized", type(module))
    names = tuple(module.parametrizations) if is_parametrized(module) else ()
    module.__class__ = _class_with(kind, names) if names else kind


@functools.cache
def _class_with(kind: type, names: tuple[str, ...]) -> type:
    """The class with these weights computed."""
    members = {name: property(*_access(name)) for name in names}
    made = type(
        f"Parametrized{kind.__name__}", (kind,), {**members, "_parametrized": kind, "__module__": kind.__module__}
    )
    made.__doc__ = kind.__doc__
    return made


def _access(name: str) -> tuple[Any, Any]:
    def get(module: Any) -> Tensor:
        return module.parametrizations[name]()

    def set_to(module: Any, value: Any) -> None:
        raise ArgumentError(
            f"{name} is computed, from module.parametrizations.{name}: change the parameters there, or call "
            "nn.utils.parametrize.remove_parametrizations first"
        )

    return get, set_to
