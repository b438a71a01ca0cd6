"""Tree: what a module holds (parameters, buffers, other modules), found by name."""

import difflib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentTypeError

if TYPE_CHECKING:
    from dlcourse.nn.module import Module


class Tree:
    """The part of a Module that knows what lies in it, by PyTorch's methods."""

    _buffer_names: tuple[str, ...] = ()
    _transient: tuple[str, ...] = ()
    """Those of the buffers that are no part of the state."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(vars(self).get(name), Parameter) and not isinstance(value, Parameter | None):
            raise ArgumentTypeError(
                f"{type(self).__name__}.{name} is a parameter, which a {type(value).__name__} cannot replace: it would "
                f"not be trained. Assign nn.Parameter(value); or change its values, as in {name}.data = value"
            )
        super().__setattr__(name, value)

    # --- modules ------------------------------------------------------------------------------------------------------

    def held_modules(self) -> Iterator[tuple[str, "Module"]]:
        """The modules held directly, by name; one that is held twice comes twice."""
        return _held(vars(self).items(), Tree, "")

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The modules held directly, each once, by the names of their attributes; members of a list are ``name.0``,
        ``name.1``, those of a dict ``name.key``.

        Raises:
            TypeError: modules are in a set.
        """
        return _each_once(self.held_modules())

    def children(self) -> Iterator["Module"]:
        """The modules held directly."""
        return (module for _, module in self.named_children())

    def named_modules(self, *, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, "Module"]]:
        """This module and all inside, depth first, with dotted names.

        Args:
            prefix: the name of this one.
            remove_duplicate: whether one that is held in several places comes once.
        """
        seen: set[int] = set()

        def visit(module: Any, name: str) -> Iterator[tuple[str, "Module"]]:
            if remove_duplicate and id(module) in seen:
                return
            seen.add(id(module))
            yield name, module
            for child_name, child in module.held_modules():
                yield from visit(child, _joined(name, child_name))

        yield from visit(self, prefix)

    def modules(self) -> Iterator["Module"]:
        """This module and all inside, each once."""
        return (module for _, module in self.named_modules())

    def add_module(self, name: str, module: "Module | None") -> None:
        """``self.<name> = module``, for names that are computed.

        Raises:
            TypeError: it is no module.
            KeyError: the name is empty, has a dot, or is that of something else.
        """
        if module is not None and not isinstance(module, Tree):
            raise ArgumentTypeError(f"add_module: expected a module as {name!r}, got a {type(module).__name__}")
        self._check_name("add_module", name, Tree)
        setattr(self, name, module)

    register_module = add_module

    def get_submodule(self, target: str) -> "Module":
        """The module of a dotted name, such as ``blocks.0.norm``; "" is this one.

        Raises:
            AttributeError: there is none.
        """
        return _found(self, "module", dict(self.named_modules(remove_duplicate=False)), target)

    # --- parameters ---------------------------------------------------------------------------------------------------

    def own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """The parameters held directly, named as :meth:`named_children` names modules."""
        return _held(vars(self).items(), Parameter, "")

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with dotted names.

        Args:
            prefix: before each name, with a dot.
            recurse: also those of the modules inside.
            remove_duplicate: whether one that is shared comes once, under its first name.
        """
        found = self._members(lambda module: module.own_parameters(), prefix, recurse, remove_duplicate)
        return _each_once(found) if remove_duplicate else found

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once; with ``recurse=False`` those of the modules inside are left out."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """``self.<name> = param``, for names that are computed.

        Raises:
            TypeError: it is no parameter.
            KeyError: the name is empty, has a dot, or is that of something else.
        """
        if param is not None and not isinstance(param, Parameter):
            raise ArgumentTypeError(
                f"register_parameter: expected a parameter as {name!r}, got a {type(param).__name__}; "
                "nn.Parameter(value) makes one"
            )
        self._check_name("register_parameter", name, Parameter)
        setattr(self, name, param)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name, such as ``blocks.0.weight``.

        Raises:
            AttributeError: there is none.
        """
        return _found(self, "parameter", dict(self.named_parameters(remove_duplicate=False)), target)

    # --- buffers ------------------------------------------------------------------------------------------------------

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Make ``self.<name>`` something that is moved with the module, and saved and loaded, but not trained.

        Args:
            tensor: where it is a Tensor it stays one, anything else becomes an array; None for nothing yet.
            persistent: False leaves it out of the state.
        Raises:
            KeyError: the name is empty, has a dot, or is that of something else.
        """
        if name not in self._buffer_names:
            self._check_name("register_buffer", name, ())
            self._buffer_names = (*self._buffer_names, name)
        others = tuple(each for each in self._transient if each != name)
        self._transient = others if persistent else (*others, name)
        if isinstance(tensor, Tensor):
            tensor = tensor.to(backend.current().name)
        elif tensor is not None:
            tensor = backend.current().asarray(tensor)
        setattr(self, name, tensor)

    def own_buffers(self, transient: bool = True) -> Iterator[tuple[str, Array]]:
        """The buffers held directly, by name, or without those that are no part of the state."""
        names = (name for name in self._buffer_names if transient or name not in self._transient)
        return ((name, value) for name in names if (value := getattr(self, name)) is not None)

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Array]]:
        """All buffers with dotted names; for the arguments see :meth:`named_parameters`."""
        found = self._members(lambda module: module.own_buffers(), prefix, recurse, remove_duplicate)
        return _each_once(found) if remove_duplicate else found

    def buffers(self, recurse: bool = True) -> Iterator[Array]:
        """All buffers, each once."""
        return (array for _, array in self.named_buffers(recurse=recurse))

    def get_buffer(self, target: str) -> Array:
        """The buffer of a dotted name, such as ``norm.running_mean``.

        Raises:
            AttributeError: there is none.
        """
        return _found(self, "buffer", dict(self.named_buffers(remove_duplicate=False)), target)

    # --- all of them --------------------------------------------------------------------------------------------------

    def apply(self, fn: Callable[["Module"], Any]) -> Self:
        """Call a function with each module inside, the innermost first, and with this one last; returns the module."""
        for child in list(self.children()):
            child.apply(fn)
        fn(self)  # type: ignore[arg-type]  # every Tree is a Module
        return self

    def _members(
        self, of: Callable[[Any], Iterator[tuple[str, Any]]], prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        inside = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        return ((_joined(path, name), value) for path, module in inside for name, value in of(module))

    def _check_name(self, method: str, name: str, kind: Any) -> None:
        """Raise KeyError for what is no name, or one that something else has already."""
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"{method}: a name is text without a dot, got {name!r}")
        held = getattr(self, name, None)
        if held is not None and not isinstance(held, kind):
            raise KeyError(f"{method}: {type(self).__name__} has a {name!r} already, a {type(held).__name__}")


_IN_ORDER = list, tuple, deque


def _held(items: Iterable[tuple[Any, Any]], kind: type, prefix: str) -> Iterator[tuple[str, Any]]:
    """What is of that kind among named values, and in the lists, tuples and dicts among them."""
    for name, value in items:
        if isinstance(value, kind):
            yield f"{prefix}{name}", value
        elif isinstance(value, _IN_ORDER):
            yield from _held(enumerate(value), kind, f"{prefix}{name}.")
        elif isinstance(value, dict):
            yield from _held(value.items(), kind, f"{prefix}{name}.")
        elif isinstance(value, set | frozenset):
            hidden = sorted(type(item).__name__ for item in value if isinstance(item, Tree | Parameter))
            if hidden:
                raise TypeError(
                    f"attribute {prefix}{name} is a set that holds {', '.join(hidden)}: a set has no order, so that "
                    "they have no names; use a list, a dict, nn.ModuleList or nn.ModuleDict"
                )


def _each_once(found: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    seen: set[int] = set()
    for name, value in found:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _found(owner: Any, kind: str, members: dict[str, Any], name: str) -> Any:
    if name in members:
        return members[name]
    near = difflib.get_close_matches(name, members, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(map(repr, members)) or 'none'}"
    raise AttributeError(f"{type(owner).__name__} has no {kind} {name!r}{hint}")
