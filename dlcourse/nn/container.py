"""Modules made of modules."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from dlcourse.autograd import Parameter, is_grad_enabled
from dlcourse.errors import ArgumentError
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

    Args:
        modules: in order; or one dict of them, by the names that they get in place of numbers.
    Raises:
        TypeError: something is no module.
    """

    def __init__(self, *modules: Module | Mapping[str, Module]):
        super().__init__()
        named = modules[0].items() if len(modules) == 1 and isinstance(modules[0], Mapping) else enumerate(modules)
        for name, module in named:
            self.add_module(str(name), module)  # type: ignore[arg-type]  # which checks it

    @property
    def _modules(self) -> dict[str, Module]:
        """By name, in order."""
        return vars(self).setdefault("_chain", {})

    def held_modules(self) -> Iterator[tuple[str, Module]]:
        return iter(self._modules.items())

    def forward(self, x: Any) -> Any:
        # A pass that records no graph is for looking (summaries) or small; there each module is called by itself.
        for call in self._fused() if is_grad_enabled() else self._modules.values():
            x = call(x)
        return x

    def _fused(self) -> Iterator[Callable]:
        """What is called in turn: the modules, or for a pair that one can do in one pass that one's offer."""
        rest = iter(pairwise([*self._modules.values(), Module()]))
        for module, following in rest:
            offer = module.fused_with(following)
            yield module if offer is None else offer
            if offer is not None:
                next(rest)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a module at the end of the chain, or put it in the place of the one that has this name."""
        self._check_name("add_module", name, Module)
        self._modules[name] = self._checked(module)

    def append(self, module: Module) -> "Sequential":
        """Add a module at the end; returns the chain."""
        return self.insert(len(self), module)

    def extend(self, sequential: Iterable[Module]) -> "Sequential":
        """Add several modules at the end; returns the chain."""
        for module in list(sequential):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> "Sequential":
        """Add a module before an index; names that are numbers stay the places in the chain. Returns the chain.

        Raises:
            IndexError: the index is beyond the end.
        """
        if not -len(self) <= index <= len(self):
            raise IndexError(f"insert: index {index} is out of range, the Sequential has {len(self)} modules")
        items = list(self._modules.items())
        items.insert(index, ("0", self._checked(module)))
        self._rename((str(i) if name.isdigit() else name, each) for i, (name, each) in enumerate(items))
        return self

    def pop(self, key: int | slice) -> Module:
        """Take a module out, or for a slice a chain of them."""
        module = self[key]
        del self[key]
        return module

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __contains__(self, module: object) -> bool:
        return any(module is each for each in self)

    def __getitem__(self, index: int | slice) -> Module:
        """One module, or for a slice a chain of those, which keep their names."""
        if isinstance(index, slice):
            return Sequential(dict(list(self._modules.items())[index]))
        return self._modules[self._name_at(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        self._modules[self._name_at(index)] = self._checked(module)

    def __delitem__(self, index: int | slice) -> None:
        """Take out; as in PyTorch those that are left are then named by their places."""
        names = list(self._modules)[index] if isinstance(index, slice) else [self._name_at(index)]
        for name in names:
            del self._modules[name]
        self._rename((str(i), module) for i, module in enumerate(list(self)))

    def __add__(self, other: "Sequential") -> "Sequential":
        return Sequential(*self, *other) if isinstance(other, Sequential) else NotImplemented

    def __iadd__(self, other: "Sequential") -> "Sequential":
        return self.extend(other) if isinstance(other, Sequential) else NotImplemented

    def __mul__(self, times: int) -> "Sequential":
        """The chain so many times, one after another: the same modules, with the same weights."""
        if not isinstance(times, int) or times < 1:
            raise ArgumentError(f"a Sequential is repeated a whole number of times, at least 1, got {times!r}")
        return Sequential(*list(self) * times)

    __rmul__ = __mul__

    def _name_at(self, index: int) -> str:
        names = list(self._modules)
        if not -len(names) <= index < len(names):
            raise IndexError(f"index {index} is out of range, the Sequential has {len(names)} modules")
        return names[index]

    def _rename(self, items: Iterable[tuple[str, Module]]) -> None:
        vars(self)["_chain"] = dict(items)

    def _checked(self, module: Any) -> Module:
        if not isinstance(module, Module):
            how = ": write Sequential(*modules)" if isinstance(module, list | tuple) else ""
            raise TypeError(f"Sequential takes modules, got {type(module).__name__}{how}")
        return module

    # As in PyTorch, its modules are attributes by their names, and a module that becomes an attribute joins the chain.

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Module) or name in self._modules:
            self._modules[name] = self._checked(value)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if self._modules.pop(name, None) is None:
            super().__delattr__(name)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            found = vars(self).get("_chain", {}).get(name)
            return super().__getattr__(name) if found is None else found


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

    def held_modules(self) -> Iterator[tuple[str, Module]]:
        return self._named() if self._kind is Module else iter(())

    def own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        return self._named() if self._kind is Parameter else iter(())

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __reversed__(self) -> Iterator[Any]:
        return reversed(self._items)

    def __contains__(self, item: Any) -> bool:
        return any(item is each for each in self._items) if isinstance(self._items, list) else item in self._items

    def __delitem__(self, index: Any) -> None:
        del self._items[index]


class _List(_Several, Module):
    def __init__(self, items: Iterable[Any] | None = None):
        super().__init__()
        self._items: list[Any] = []
        self.extend(items or ())

    def add_module(self, name: str, module: Module | None) -> None:
        """Add one at the end, or put it in the place of another: the name is its index, as text."""
        places = [str(place) for place in range(len(self) + 1)]
        if name not in places:
            raise KeyError(f"{type(self).__name__}: expected an index as text, up to {places[-1]!r}, got {name!r}")
        self._items[int(name) : int(name) + 1] = [self._checked(module)]

    def append(self, item: Any) -> "_List":
        """Add one at the end; returns the list."""
        self._items.append(self._checked(item))
        return self

    def extend(self, items: Iterable[Any]) -> "_List":
        """Add several at the end; returns the list."""
        self._items += [self._checked(item) for item in items]
        return self

    def insert(self, index: int, item: Any) -> None:
        """Add one before an index."""
        self._items.insert(index, self._checked(item))

    def pop(self, key: int | slice = -1) -> Any:
        """Take one out, or for a slice a list of them."""
        found = self[key]
        del self._items[key]
        return found

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

    def __init__(self, items: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None):
        super().__init__()
        self._items: dict[str, Any] = {}
        self.update(items or {})

    def add_module(self, name: str, module: Module | None) -> None:
        """``self[name] = module``."""
        self[name] = module

    def popitem(self) -> tuple[str, Any]:
        """Take out the one that came last; its name and it."""
        return self._items.popitem()

    def copy(self) -> "_Dict":
        """Another dict of the same members."""
        return type(self)(self._items)

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __setitem__(self, name: str, item: Any) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"{type(self).__name__}: a name is text without a dot, got {name!r}")
        self._items[name] = self._checked(item)

    def __or__(self, other: Mapping[str, Any]) -> "_Dict":
        return type(self)({**self, **other}) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> "_Dict":
        return type(self)({**other, **self}) if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Mapping[str, Any]) -> "_Dict":
        self.update(other)
        return self

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            found = vars(self).get("_items", {}).get(name)
            return super().__getattr__(name) if found is None else found


class ModuleList(_List):
    """Modules in a list, named by their indices; called one by one by the module that holds it (``nn.ModuleList``).

    Args:
        modules: the first ones.
    Raises:
        TypeError: something is no module.
    """

    _kind = Module

    def __init__(self, modules: Iterable[Module] | None = None):
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

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None):
        super().__init__(modules)


class ParameterList(_List):
    """Parameters in a list (``nn.ParameterList``), as a :class:`ModuleList` holds modules; tensors and arrays become
    parameters, and what is no array of floating-point numbers is a TypeError."""

    _kind = Parameter

    def __init__(self, values: Iterable[Any] | None = None):
        super().__init__(values)


class ParameterDict(_Dict):
    """Parameters by name (``nn.ParameterDict``), as a :class:`ModuleDict` holds modules; tensors and arrays become
    parameters, and what is no array of floating-point numbers is a TypeError."""

    _kind = Parameter

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None):
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
