"""Many replicas of a model in one graph: arrays with a leading axis of replicas, and what an operation does with it.

A :class:`ReplicaArray` holds R arrays of one shape, and to the graph it is one array of that shape: modules and
operations see the shape that a model by itself has. Where one comes to an operation, :func:`lifted` takes the operation
to all replicas at once, by the first that applies:

1. the rule of the operation's own class, ``replica_rule``: a :class:`Rule`, one forward and backward pass for all;
2. where each element of the value depends on the elements at its place alone (``Function.elementwise``): the operation
   itself, the axis of replicas being one more axis;
3. the operation for one replica after another, which is always right and saves nothing.

An array that is no ReplicaArray is the same for all replicas. JAX's batching rules are the same idea.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dlcourse.autograd.function import Function, name_of
from dlcourse.backend import random
from dlcourse.backend.device import Array, address, array_module
from dlcourse.errors import ArgumentError


class NotStackable(ArgumentError):
    """Something in a model or a loss has no meaning for many replicas at once; says what."""


class Replicas:
    """The replicas of a stack: how many there are, and of each its random draws.

    Args:
        draws: one for each replica, see :func:`dlcourse.backend.random.drawing`.
    """

    def __init__(self, draws: Sequence[random.Draws]):
        self.draws = list(draws)

    def __len__(self) -> int:
        return len(self.draws)

    def each(self) -> Iterator[int]:
        """The numbers of the replicas; what is drawn between one and the next is that replica's own."""
        for number, draws in enumerate(self.draws):
            with random.drawing(draws):
                yield number


class Each:
    """A setting that differs from replica to replica, such as a probability of dropout.

    It compares as a number does, where the comparison holds for all; an operation's rule looks at ``values``.
    """

    def __init__(self, values: Sequence[float]):
        self.values = tuple(values)
        self._arrays: dict[Any, Array] = {}

    def on_device(self, like: Array) -> Array:
        """The values (R,) where that array lies and in its type, copied there once: a recorded step copies nothing."""
        xp = array_module(like)
        key = xp, like.dtype
        if key not in self._arrays:
            self._arrays[key] = xp.asarray(self.values, dtype=like.dtype)
        return self._arrays[key]

    def __eq__(self, other: object) -> bool:
        return all(value == other for value in self.values)

    def __hash__(self) -> int:
        return hash(self.values)

    def __le__(self, other: float) -> bool:
        return all(value <= other for value in self.values)

    def __ge__(self, other: float) -> bool:
        return all(value >= other for value in self.values)

    def __repr__(self) -> str:
        return f"Each({list(self.values)})"


class ReplicaArray:
    """Arrays of one shape, one for each replica.

    Attributes:
        values: (R, *shape).
        replicas: whose they are.
    """

    __slots__ = ("replicas", "values")

    def __init__(self, values: Array, replicas: Replicas):
        self.values, self.replicas = values, replicas

    shape = property(lambda self: self.values.shape[1:])
    dtype = property(lambda self: self.values.dtype)
    ndim = property(lambda self: self.values.ndim - 1)
    size = property(lambda self: self.values[0].size)

    def __len__(self) -> int:
        return self.shape[0]

    def __add__(self, other: "ReplicaArray") -> "ReplicaArray":
        return ReplicaArray(self.values + other.values, self.replicas)

    def __iadd__(self, other: "ReplicaArray") -> "ReplicaArray":
        self.values += other.values
        return self

    def astype(self, dtype: Any, copy: bool = True) -> "ReplicaArray":
        """The arrays in another type."""
        return ReplicaArray(self.values.astype(dtype, copy=copy), self.replicas)


def value_of(x: Any, replica: int) -> Any:
    """What an input or a setting is for one replica; tuples of such too."""
    if isinstance(x, ReplicaArray):
        return x.values[replica]
    if isinstance(x, Each):
        return x.values[replica]
    if isinstance(x, tuple):
        found = [value_of(item, replica) for item in x]
        return type(x)(*found) if hasattr(x, "_fields") else tuple(found)
    return x


def by_sample(function: Callable[[Array], Array], x: Any) -> Any:
    """What a function of arrays makes of an array, or of those of all replicas, where it treats each sample by
    itself."""
    if not isinstance(x, ReplicaArray):
        return function(x)
    count, samples = x.values.shape[:2]
    y = function(x.values.reshape(count * samples, *x.shape[1:]))
    return ReplicaArray(y.reshape(count, samples, *y.shape[1:]), x.replicas)


def numbers(setting: Any, like: Array) -> Any:
    """A setting as something that broadcasts against (R, ...): a number, or an array (R, 1, ...) in that type."""
    if not isinstance(setting, Each):
        return setting
    shape = (len(setting.values), *(1,) * (like.ndim - 1))
    return setting.on_device(like).reshape(shape)


class Rule:
    """An operation for all replicas at once, made anew for each call.

    :meth:`forward` gets the operation's inputs, each a :class:`ReplicaArray` or what is the same for all replicas, and
    gives an array (R, ...) or a tuple of those, or NotImplemented for inputs that it is not for: then the operation
    goes to one replica after another. :meth:`backward` gets (R, ...) or None, and gives one for each input,
    None for what is the same for all.

    Attributes:
        function: the operation with its settings.
        replicas: of the call.
        needs_input_grad, grad_buffers: as the operation's, the buffers (R, ...).
    """

    def __init__(self, function: Any, replicas: Replicas):
        self.function, self.replicas = function, replicas
        self.needs_input_grad: tuple[bool, ...] = ()
        self.grad_buffers: tuple[Array | None, ...] = ()

    def forward(self, *inputs: Any) -> Any:
        """The values."""
        raise NotImplementedError

    def backward(self, *douts: Any) -> Any:
        """The gradients."""
        raise NotImplementedError


class _Elementwise(Rule):
    """The operation itself, on arrays whose axes are aligned behind that of the replicas."""

    def forward(self, *inputs: Any) -> Array:
        axes = max(x.ndim for x in inputs if hasattr(x, "ndim"))
        self.shapes = [x.values.shape if isinstance(x, ReplicaArray) else None for x in inputs]
        self.function.needs_input_grad = self.needs_input_grad
        return self.function.forward(*(_aligned(x, axes) for x in inputs))

    def backward(self, dout: Array) -> tuple:
        dins = self.function.backward(dout)
        dins = dins if isinstance(dins, tuple) else (dins,)
        return tuple(
            None if din is None or shape is None else din.reshape(shape)
            for din, shape in zip(dins, self.shapes, strict=True)
        )


def _aligned(x: Any, axes: int) -> Any:
    if not isinstance(x, ReplicaArray):
        return x
    return x.values.reshape(len(x.values), *(1,) * (axes - x.ndim), *x.shape)


class _OneByOne(Rule):
    """The operation for one replica after another."""

    def forward(self, *inputs: Any) -> Any:
        self.functions, values = [], []
        for number in self.replicas.each():
            function = copy.copy(self.function)
            vars(function).update((name, value_of(x, number)) for name, x in vars(self.function).items())
            function.needs_input_grad = self.needs_input_grad
            self.functions.append(function)
            values.append(function.forward(*(value_of(x, number) for x in inputs)))
        return _stacked(values)

    def backward(self, *douts: Any) -> Any:
        grads = []
        for number in self.replicas.each():
            function = self.functions[number]
            function.grad_buffers = tuple(None if b is None else b[number] for b in self.grad_buffers)
            dins = function.backward(*(None if dout is None else dout[number] for dout in douts))
            grads.append(dins if isinstance(dins, tuple) else (dins,))
        return tuple(
            buffer if buffer is not None else None if not need else _stacked([each[i] for each in grads])
            for i, (need, buffer) in enumerate(zip(self.needs_input_grad, self._written(grads), strict=True))
        )

    def _written(self, grads: list[tuple]) -> tuple[Array | None, ...]:
        """The buffers after what was not written in place has been copied into them."""
        for i, buffer in enumerate(self.grad_buffers):
            if buffer is not None:
                for slot, each in zip(buffer, grads, strict=True):
                    if each[i] is not None and address(each[i]) != address(slot):
                        slot[...] = each[i]
        return self.grad_buffers


def _stacked(values: list) -> Any:
    if isinstance(values[0], tuple):
        return tuple(_stacked(list(each)) for each in zip(*values, strict=True))
    return array_module(values[0]).stack(values)


def _rule_of(function: Function) -> Callable[[Function, Replicas], Rule]:
    own: type[Rule] | None = vars(type(function)).get("replica_rule")  # a subclass computes something else
    if own is not None:
        return own
    differs = any(isinstance(x, ReplicaArray | Each) for x in vars(function).values())
    return _Elementwise if function.elementwise and not differs else _OneByOne


class _Lifted(Function):
    """A rule as the operation of a node in the graph."""

    def __init__(self, function: Function, replicas: Replicas):
        self.function, self.replicas = function, replicas
        self.is_loss = function.is_loss
        self.rule = _rule_of(function)(function, replicas)

    def forward(self, *inputs: Any) -> Any:
        for x, need in zip(inputs, self.needs_input_grad, strict=True):
            if need and not isinstance(x, ReplicaArray):
                raise NotStackable(f"{name_of(self.function)}: a tensor that all replicas share cannot be trained")
        self.rule.needs_input_grad = self.needs_input_grad
        value = self.rule.forward(*inputs)
        if value is NotImplemented:
            self.rule = _OneByOne(self.function, self.replicas)
            self.rule.needs_input_grad = self.needs_input_grad
            value = self.rule.forward(*inputs)
        return tuple(map(self._array, value)) if isinstance(value, tuple) else self._array(value)

    def backward(self, *douts: Any) -> Any:
        buffers = self.grad_buffers
        self.rule.grad_buffers = tuple(None if b is None else b.values for b in buffers)
        dins = self.rule.backward(*(None if dout is None else dout.values for dout in douts))
        dins = dins if isinstance(dins, tuple) else (dins,)
        return tuple(
            None if din is None else buffer if buffer is not None and din is buffer.values else self._array(din)
            for din, buffer in zip(dins, buffers, strict=True)
        )

    def _array(self, values: Array) -> ReplicaArray:
        return ReplicaArray(values, self.replicas)


def lifted(function: Function, inputs: Sequence[Any]) -> Function | None:
    """The operation for all replicas, where an input is a :class:`ReplicaArray`; else None."""
    found = next((x.replicas for x in inputs if isinstance(x, ReplicaArray)), None)
    return None if found is None else _Lifted(function, found)


@contextlib.contextmanager
def only_own_draws() -> Iterator[None]:
    """Inside the ``with`` block what draws random numbers for no replica in particular raises :class:`NotStackable`."""
    with random.drawing(_Refusing()):
        yield


class _Refusing(random.Draws):
    def __init__(self) -> None:
        pass

    def __getattribute__(self, name: str) -> Any:
        raise NotStackable("the model draws random numbers outside of an operation")
