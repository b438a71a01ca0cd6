"""Module: parameters, buffers and other modules under one roof, with a forward pass."""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor
from dlcourse.autograd.base import array_of
from dlcourse.backend.device import Array
from dlcourse.backend.precision import accumulation_dtype, as_dtype, split_destination
from dlcourse.errors import ArgumentError, CheckpointError
from dlcourse.habits import missing
from dlcourse.markup import html_text
from dlcourse.nn import hooks
from dlcourse.nn.hooks import Hooked
from dlcourse.nn.tree import Tree
from dlcourse.positional import PositionalCheck

__all__ = ["Module", "Parameter"]


class IncompatibleKeys(NamedTuple):
    """The names in which a state and a model differ."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module(Tree, Hooked, PositionalCheck):
    """Base of layers and models.

    Attributes that are Parameters or Modules are found by themselves, also in lists, tuples and dicts of them, one in
    another too: ``self.blocks = {"left": [Linear(2, 3)]}`` has ``blocks.left.0.weight``. A set has no order, so that
    Modules in one are an error. An array that belongs to the state but is not trained is declared with
    :meth:`register_buffer`. A subclass may call ``super().__init__()``, as it has to in PyTorch; nothing depends on it.
    """

    varies: ClassVar[tuple[str, ...]] = ()
    """Settings, numbers, in which the replicas of a stack may differ, see :mod:`dlcourse.training.stack`."""
    training: bool = True
    _stays_in_eval: bool = False
    """Whether :meth:`train` leaves it in evaluation mode: what it holds is frozen."""

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """The output for these inputs."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.forward(*inputs, **options) if self._hooks is None else hooks.call(self, inputs, options)

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

    def torch_axis(self, name: str) -> int:
        """The axis at which PyTorch has what is the last axis here of an own parameter or buffer, as channels of a
        convolution; -1 where it is the last there too. See :mod:`dlcourse.interop.torch`."""
        return -1

    def torch_only(self) -> dict[str, np.ndarray]:
        """What the state of PyTorch's module has besides, by name, with the values of a new one."""
        return {}

    # --- modes, gradients, moving -------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> "Module":
        """Switch to training (dropout drops, batch statistics are taken), with False to evaluation; returns the module.

        Raises:
            ValueError: ``mode`` is neither True nor False.
        """
        if not isinstance(mode, bool | np.bool_):
            raise ArgumentError(f"train: expected True or False, got {mode!r}; a loop or dl.TrainStep trains the model")
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

    def bfloat16(self) -> "Module":
        """Cast to bfloat16, see :meth:`to`; returns the module."""
        return self.to(dtype="bfloat16")

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
            for name, value in list(module.own_buffers()):
                moved = _moved(array_of(value), target, dtype)
                setattr(module, name, Tensor(moved) if isinstance(value, Tensor) else moved)
        return self

    # --- state --------------------------------------------------------------------------------------------------------

    def state_dict(
        self, *, destination: dict[str, np.ndarray] | None = None, prefix: str = ""
    ) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers on the host, by dotted name: of each module its parameters, its buffers,
        and what is in the modules inside. What is shared is there under each of its names.

        Args:
            destination: a dict to put them into; a new one where it is left out.
            prefix: before each name, as it is: one for a part ends with a dot.
        """
        state = {} if destination is None else destination
        for name, value in self._stored().items():
            array = value.master if isinstance(value, Parameter) else array_of(value)
            state[f"{prefix}{name}"] = np.array(backend.to_host(array))
        return state

    def other_names(self) -> set[str]:
        """The names in a state of parameters and buffers that are there under an earlier name already."""
        stored = self._stored()
        first = {id(value): name for name, value in reversed(stored.items())}
        return stored.keys() - first.values()

    def _stored(self) -> dict[str, Any]:
        """Parameters and buffers that are part of the state, by each of their names."""
        stored: dict[str, Any] = {}
        for path, module in self.named_modules(remove_duplicate=False):
            for name, value in (*module.own_parameters(), *module.own_buffers(transient=False)):
                stored[f"{path}.{name}" if path else name] = value
        return stored

    def resize_buffers(self, state: Mapping[str, Any]) -> None:
        """Give buffers whose size comes from the data the size that they have in a state, before it is loaded."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy arrays or tensors into parameters and buffers, cast to their types; all is checked before any is copied.

        Args:
            strict: every name has to be there, and no other. Of what is shared one of its names is enough.
        Returns:
            ``missing_keys``, names of the model that are not in the state, and ``unexpected_keys``, those of the state
            that are not in the model: lists, empty where it is strict.
        Raises:
            CheckpointError: names are missing or unknown, or shapes differ; lists all of them.
        """
        self.resize_buffers(state_dict)
        stored = self._stored()
        given = {id(value) for name, value in stored.items() if name in state_dict}
        found = IncompatibleKeys(
            [name for name, value in stored.items() if id(value) not in given],
            [name for name in state_dict if name not in stored],
        )
        values = {name: array_of(value) for name, value in state_dict.items() if name in stored}
        faults = []
        if strict:
            faults += [f"missing: {name} {stored[name].shape}" for name in found.missing_keys]
            faults += [f"unexpected: {name}" for name in found.unexpected_keys]
        for name, value in values.items():
            if tuple(value.shape) != stored[name].shape:
                faults.append(f"shape of {name}: expected {stored[name].shape}, got {tuple(value.shape)}")
        if faults:
            raise CheckpointError("the state does not fit the model:\n  " + "\n  ".join(sorted(faults)))
        for name, value in values.items():
            target = stored[name]
            if isinstance(target, Parameter):
                target.assign(backend.of(target.master).asarray(value, dtype=target.master.dtype))
            else:  # in place: a captured step goes on with these very arrays
                array = array_of(target)
                array[...] = backend.of(array).asarray(value, dtype=array.dtype)
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
    ``forward`` or ``__call__`` of its own, with hooks, and where ``module.forward`` was replaced."""
    kind = type(module)
    return (
        module._hooks is None
        and kind.forward is forward
        and kind.__call__ is Module.__call__
        and "forward" not in vars(module)
    )


def _moved(array: Array, target: backend.Backend | None, dtype: Any) -> Array:
    if dtype is not None and array.dtype.kind == "f":
        array = array.astype(accumulation_dtype(as_dtype(dtype)), copy=False)
    return array if target is None else target.asarray(array)
