"""Modules made of modules."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from itertools import pairwise
from typing import Any

from dlcourse.autograd import Parameter, is_grad_enabled
from dlcourse.nn.activation import ReLU
from dlcourse.nn.module import Module, runs
from dlcourse.nn.norm import BatchNorm
from dlcourse.ops.residual import add_relu

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


class Sequential(Module):
    """One module after another, each taking the output of the one before; names in the state are ``0.weight`` ...

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
        >>> model(dl.tensor([[1.0, 2.0]])).shape
        (1, 3)
        >>> sorted(model.state_dict())
        ['0.bias', '0.weight', '2.bias', '2.weight']
    """

    def __init__(self, *modules: Module):
        super().__init__()
        for module in modules:
            if not isinstance(module, Module):
                raise TypeError(f"Sequential takes modules, got {type(module).__name__}")
        self._modules = list(modules)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return ((str(i), module) for i, module in enumerate(self._modules))

    def forward(self, x: Any) -> Any:
        # A pass that records no graph is for looking (summaries) or small; there each module is called by itself.
        for call in self._fused() if is_grad_enabled() else self._modules:
            x = call(x)
        return x

    def _fused(self) -> Iterator[Callable]:
        """What is called in turn: the modules, or for a pair that one can do in one pass that one's offer."""
        rest = iter(pairwise([*self._modules, Module()]))
        for module, following in rest:
            offer = module.fused_with(following)
            yield module if offer is None else offer
            if offer is not None:
                next(rest)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules)

    def __getitem__(self, index: int | slice) -> Module:
        return Sequential(*self._modules[index]) if isinstance(index, slice) else self._modules[index]


class _Several:
    """What a list and a dict of modules or parameters share: ``_items`` is their list or dict."""

    _items: Any
    _kind: type

    def _checked(self, value: Any) -> Any:
        if self._kind is Parameter and not isinstance(value, Parameter) and hasattr(value, "dtype"):
            return Parameter(value)  # as PyTorch's lists of parameters do
        if not isinstance(value, self._kind):
            kinds = f"{self._kind.__name__.lower()}s"
            raise TypeError(f"{type(self).__name__} takes {kinds}, got {type(value).__name__}")
        return value

    def _named(self) -> Iterator[tuple[str, Any]]:
        pairs = self._items.items() if isinstance(self._items, dict) else enumerate(self._items)
        return ((str(name), item) for name, item in pairs)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return self._named() if self._kind is Module else iter(())

    def own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        return self._named() if self._kind is Parameter else iter(())

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __contains__(self, item: Any) -> bool:
        return any(item is each for each in self._items) if isinstance(self._items, list) else item in self._items

    def __delitem__(self, index: Any) -> None:
        del self._items[index]


class _List(_Several, Module):
    def __init__(self, items: Iterable[Any] = ()):
        super().__init__()
        self._items: list[Any] = []
        self.extend(items)

    def append(self, item: Any) -> "_List":
        """Add one at the end; returns the list."""
        self._items.append(self._checked(item))
        return self

    def extend(self, items: Iterable[Any]) -> "_List":
        """Add several at the end; returns the list."""
        for item in items:
            self.append(item)
        return self

    def insert(self, index: int, item: Any) -> None:
        """Add one before an index."""
        self._items.insert(index, self._checked(item))

    def pop(self, index: int = -1) -> Any:
        """Take one out."""
        return self._items.pop(index)

    def __getitem__(self, index: int | slice) -> Any:
        return type(self)(self._items[index]) if isinstance(index, slice) else self._items[index]

    def __setitem__(self, index: int, item: Any) -> None:
        self._items[index] = self._checked(item)

    def __iadd__(self, items: Iterable[Any]) -> "_List":
        return self.extend(items)

    def __add__(self, items: Iterable[Any]) -> "_List":
        return type(self)([*self, *items])


class _Dict(_Several, Module, MutableMapping[str, Any]):
    __eq__ = object.__eq__  # a module is itself, whatever it holds
    __hash__ = object.__hash__

    def __init__(self, items: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()):
        super().__init__()
        self._items: dict[str, Any] = {}
        self.update(items)

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __setitem__(self, name: str, item: Any) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"{type(self).__name__}: a name is text without a dot, got {name!r}")
        self._items[name] = self._checked(item)


class ModuleList(_List):
    """Modules in a list, named by their indices; called one by one by the module that holds it (``nn.ModuleList``).

    Args:
        modules: the first ones.
    Raises:
        TypeError: something is no module.
    """

    _kind = Module

    def __init__(self, modules: Iterable[Module] = ()):
        super().__init__(modules)


class ModuleDict(_Dict):
    """Modules by name, in the order in which they came (``nn.ModuleDict``).

    Args:
        modules: the first ones, a mapping or pairs.
    Raises:
        TypeError: something is no module.
        KeyError: a name has a dot or is no text.
    """

    _kind = Module

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()):
        super().__init__(modules)


class ParameterList(_List):
    """Parameters in a list (``nn.ParameterList``), as a :class:`ModuleList` holds modules; tensors and arrays become
    parameters, and what is no array of floating-point numbers is a TypeError."""

    _kind = Parameter

    def __init__(self, values: Iterable[Any] = ()):
        super().__init__(values)


class ParameterDict(_Dict):
    """Parameters by name (``nn.ParameterDict``), as a :class:`ModuleDict` holds modules; tensors and arrays become
    parameters, and what is no array of floating-point numbers is a TypeError."""

    _kind = Parameter

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()):
        super().__init__(parameters)


_relu = ReLU()


def then_relu(module: Module, x: Any) -> Any:
    """relu(module(x)), in one pass where the module offers it."""
    return (module.fused_with(_relu) or (lambda given: _relu(module(given))))(x)


def then_add_relu(module: Module, x: Any, residual: Any) -> Any:
    """relu(module(x) + residual), in one pass where the module is a batch norm."""
    if runs(module, BatchNorm.forward) and residual.shape == x.shape:
        return module(x, relu=True, residual=residual)
    return add_relu(module(x), residual)
