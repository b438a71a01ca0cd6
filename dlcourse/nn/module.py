"""Module: parameters, buffers and other modules under one roof, with a forward pass."""

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor
from dlcourse.backend.device import Array
from dlcourse.backend.precision import accumulation_dtype, as_dtype, split_destination
from dlcourse.errors import CheckpointError
from dlcourse.habits import missing
from dlcourse.markup import html_text
from dlcourse.positional import PositionalCheck

__all__ = ["Module", "Parameter"]


class IncompatibleKeys(NamedTuple):
    """The names in which a state and a model differ."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module(PositionalCheck):
    """Base of layers and models.

    Attributes that are Parameters or Modules are found by themselves, also in lists, tuples and dicts of them, one in
    another too: ``self.blocks = {"left": [Linear(2, 3)]}`` has ``blocks.left.0.weight``. A set has no order, so that
    Modules in one are an error. An array that belongs to the state but is not trained is declared with
    :meth:`register_buffer`. A subclass may call ``super().__init__()``, as it has to in PyTorch; nothing depends on it.
    """

    training: bool = True
    _stays_in_eval: bool = False
    """Whether :meth:`train` leaves it in evaluation mode: what it holds is frozen."""
    _buffer_names: tuple[str, ...] = ()

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """The output for these inputs."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.forward(*inputs, **options)

    def fused_with(self, following: "Module") -> Callable | None:
        """A call that does this module's and the following one's work in one pass, None where there is no such.

        It has to give what the two would give, one after the other: both have to be sure that nothing of a user's own
        would be left out, see :func:`runs`.
        """
        return None

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        """Floating-point operations of one forward pass, a multiplication and an addition counting as two.

        Args:
            in_shape, out_shape: with the batch axis. A layer whose arithmetic counts overrides this.
        """
        return 0

    # --- what is inside -----------------------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The modules held directly, by the names of their attributes; members of a list are ``name.0``, ``name.1``,
        those of a dict ``name.key``.

        Raises:
            TypeError: modules are in a set.
        """
        return _held(vars(self).items(), Module, "")

    def children(self) -> Iterator["Module"]:
        """The modules held directly."""
        return (module for _, module in self.named_children())

    def own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """The parameters held directly, named as :meth:`named_children` names modules."""
        return _held(vars(self).items(), Parameter, "")

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module and all inside, depth first, with dotted names; each once."""
        seen: set[int] = set()

        def visit(module: Module, name: str) -> Iterator[tuple[str, Module]]:
            if id(module) in seen:
                return
            seen.add(id(module))
            yield name, module
            for child_name, child in module.named_children():
                yield from visit(child, f"{name}.{child_name}" if name else child_name)

        yield from visit(self, prefix)

    def modules(self) -> Iterator["Module"]:
        """This module and all inside."""
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with dotted names; one that is shared comes once, under its first name."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in module.own_parameters():
                if id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{prefix}.{name}" if prefix else name), value

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def register_buffer(self, name: str, array: Any) -> None:
        """Make ``self.<name>`` an array that is saved, loaded and moved with the module, but not trained."""
        if name not in self._buffer_names:
            self._buffer_names = (*self._buffer_names, name)
        setattr(self, name, backend.current().asarray(array))

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """All buffers with dotted names."""
        for prefix, module in self.named_modules():
            for name in module._buffer_names:
                yield (f"{prefix}.{name}" if prefix else name), getattr(module, name)

    def buffers(self) -> Iterator[Array]:
        """All buffers."""
        return (array for _, array in self.named_buffers())

    # --- modes, gradients, moving -------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> "Module":
        """Switch to training (dropout drops, batch statistics are taken); returns the module."""
        for module in self.modules():
            module.training = mode and not module._stays_in_eval
        return self

    def eval(self) -> "Module":
        """Switch to evaluation; returns the module."""
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients; with ``set_to_none=False`` those that are there become zeros."""
        for parameter in self.parameters():
            parameter.zero_grad(set_to_none)

    def requires_grad_(self, requires_grad: bool = True) -> "Module":
        """Train all parameters, or with False freeze them; returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def apply(self, function: Callable[["Module"], Any]) -> "Module":
        """Call a function with each module inside, the innermost first, and with this one last; returns the module."""
        for child in list(self.children()):
            child.apply(function)
        function(self)
        return self

    def cpu(self) -> "Module":
        """Move to the CPU; returns the module."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> "Module":
        """Move to a GPU; returns the module.

        Raises:
            DeviceError: there is none; says what to do.
        """
        return self.to("cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device)

    def float(self) -> "Module":
        """Cast to float32; returns the module."""
        return self.to(dtype="float32")

    def double(self) -> "Module":
        """Cast to float64; returns the module."""
        return self.to(dtype="float64")

    def half(self) -> "Module":
        """Cast to float16, see :meth:`to`; returns the module."""
        return self.to(dtype="float16")

    def to(self, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> "Module":
        """Move and cast all parameters and floating-point buffers; returns the module.

        As in PyTorch the first argument may be a type, ``model.to("float64")``, or a tensor whose device and type to
        take; ``non_blocking`` changes nothing.

        In half precision (float16, bfloat16) the model computes with 16 bits, given inputs of that type; the values
        behind, see :attr:`Parameter.master`, which a state holds and an optimizer changes, and buffers such as running
        statistics are float32. The loss scale that float16 needs is :class:`~dlcourse.training.step.TrainStep`'s, which
        casts inputs too; a loop of one's own has neither.

        Gradients are dropped. As in PyTorch, make the optimizer after moving: it holds the old arrays.
        """
        device, dtype = split_destination(device, dtype)
        target = backend.get(device) if device is not None else None
        for parameter in self.parameters():
            parameter.convert(target, dtype)
        for module in self.modules():
            for name in module._buffer_names:
                setattr(module, name, _moved(getattr(module, name), target, dtype))
        return self

    # --- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers on the host, by dotted name."""
        state = {name: np.array(backend.to_host(p.master)) for name, p in self.named_parameters()}
        state.update((name, np.array(backend.to_host(array))) for name, array in self.named_buffers())
        return state

    def resize_buffers(self, state: Mapping[str, Any]) -> None:
        """Give buffers whose size comes from the data the size that they have in a state, before it is loaded."""

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy arrays or tensors into parameters and buffers, cast to their types; all is checked before any is copied.

        Args:
            strict: every name has to be there, and no other.
        Returns:
            ``missing_keys``, names of the model that are not in the state, and ``unexpected_keys``, those of the state
            that are not in the model: lists, empty where it is strict.
        Raises:
            CheckpointError: names are missing or unknown, or shapes differ; lists all of them.
        """
        self.resize_buffers(state)
        parameters, buffers = dict(self.named_parameters()), dict(self.named_buffers())
        expected = {name: p.shape for name, p in parameters.items()} | {n: b.shape for n, b in buffers.items()}
        found = IncompatibleKeys([n for n in expected if n not in state], [n for n in state if n not in expected])
        faults = []
        if strict:
            faults += [f"missing: {name} {expected[name]}" for name in found.missing_keys]
            faults += [f"unexpected: {name}" for name in found.unexpected_keys]
        for name in expected.keys() & state.keys():
            if tuple(state[name].shape) != expected[name]:
                faults.append(f"shape of {name}: expected {expected[name]}, got {tuple(state[name].shape)}")
        if faults:
            raise CheckpointError("the state does not fit the model:\n  " + "\n  ".join(sorted(faults)))
        for name in expected.keys() & state.keys():
            value = state[name].data if isinstance(state[name], Tensor) else state[name]
            if name in parameters:
                target = parameters[name].master
                parameters[name].assign(backend.of(target).asarray(value, dtype=target.dtype))
            else:  # in place: a captured step goes on with these very arrays
                buffers[name][...] = backend.of(buffers[name]).asarray(value, dtype=buffers[name].dtype)
        return found

    def extra_repr(self) -> str:
        """The settings shown in ``repr``: the constructor's arguments, such as ``in_features=4, bias=True``, by those
        attributes of their names that are numbers, text or tuples."""
        shown = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = vars(self).get(name)
            if isinstance(parameter.default, bool):  # the attribute ``bias`` may be a Parameter or None
                value = value is not None and value is not False
            if isinstance(value, bool | int | float | str | tuple):
                shown.append(f"{name}={value!r}")
        return ", ".join(shown)

    def __repr__(self) -> str:
        children = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        head = type(self).__name__
        if not children:
            return f"{head}({self.extra_repr()})"
        return f"{head}({self.extra_repr()}\n" + "\n".join(children) + "\n)"

    def _repr_html_(self) -> str:
        """For a notebook: as :func:`repr`, and how many parameters there are."""
        parameters = list(self.parameters())
        frozen = sum(p.data.size for p in parameters if not p.requires_grad)
        note = f"{sum(p.data.size for p in parameters):,} parameters{f', {frozen:,} of them frozen' if frozen else ''}"
        return html_text(repr(self), note)

    if not TYPE_CHECKING:  # a type checker knows what is there

        def __getattr__(self, name: str) -> Any:
            """Only for what is not there: advice for names that PyTorch has."""
            raise missing("module", name, f"'{type(self).__name__}' object has no attribute '{name}'", self)


def runs(module: Module, forward: Callable) -> bool:
    """Whether a call of the module is a call of this very ``forward`` of its class: False for a subclass with a
    ``forward`` or ``__call__`` of its own, and where ``module.forward`` was replaced."""
    kind = type(module)
    return kind.forward is forward and kind.__call__ is Module.__call__ and "forward" not in vars(module)


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
            hidden = sorted(type(item).__name__ for item in value if isinstance(item, Module | Parameter))
            if hidden:
                raise TypeError(
                    f"attribute {prefix}{name} is a set that holds {', '.join(hidden)}: a set has no order, so that "
                    "they have no names; use a list, a dict, nn.ModuleList or nn.ModuleDict"
                )


def _moved(array: Array, target: backend.Backend | None, dtype: Any) -> Array:
    if dtype is not None and array.dtype.kind == "f":
        array = array.astype(accumulation_dtype(as_dtype(dtype)), copy=False)
    return array if target is None else target.asarray(array)
