"""The graph of executed operations, and the walk back through it.

A node knows its parents and never its outputs, so there is no cycle: a graph that nothing holds is gone at once, and
after a backward pass its nodes have let go of everything they saved.
"""

import contextlib
import functools
import heapq
import itertools
import operator
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dlcourse.autograd import version as versions
from dlcourse.autograd.function import Function
from dlcourse.autograd.replicas import ReplicaArray
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.activation import add
from dlcourse.errors import ArgumentError

_order = itertools.count()


class Mode(threading.local):
    """What this thread records: ``recording``, graphs; ``counting``, changes in place between forward and backward.

    ``loss_buffer`` is where the step's loss may be written, and ``outside`` gets parameters that no optimizer
    holds, see :class:`at_once`. ``observer`` is told of each operation, see :func:`observing`.
    """

    recording = True
    counting = True
    loss_buffer: Array | None = None
    outside: Callable[[Any], None] | None = None
    observer: Callable[[Function, Sequence[Any], Sequence[Any]], None] | None = None


mode = Mode()


def no_grad(function: Callable | None = None) -> Any:
    """Record no graph inside the ``with`` block, or in the decorated function: ``@dl.no_grad()`` or ``@dl.no_grad``.

    Example:
        >>> w = dl.tensor([1.0], requires_grad=True)
        >>> with dl.no_grad():
        ...     y = 2 * w
        >>> y.requires_grad
        False
    """
    return _recording(False) if function is None else _recording(False)(function)


def inference_mode(mode: bool | Callable = True) -> Any:
    """:func:`no_grad` where ``mode`` is true, nothing where it is false: PyTorch's name and argument."""
    if callable(mode):
        return no_grad(mode)
    return no_grad() if mode else contextlib.nullcontext()


def enable_grad(function: Callable | None = None) -> Any:
    """Record graphs again inside the ``with`` block, or in the decorated function, though it is within ``no_grad``."""
    return _recording(True) if function is None else _recording(True)(function)


@contextlib.contextmanager
def _recording(recording: bool) -> Iterator[None]:
    before, mode.recording = mode.recording, recording
    try:
        yield
    finally:
        mode.recording = before


class set_grad_enabled:
    """Record graphs or not, from now on; as ``with set_grad_enabled(training):`` inside the block."""

    def __init__(self, mode: bool):
        self.before = _switch(mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: Any) -> None:
        _switch(self.before)


def _switch(recording: bool) -> bool:
    """Record graphs or not from now on; the answer is what held before."""
    before, mode.recording = mode.recording, bool(recording)
    return before


class at_once:
    """``with at_once():`` the graphs made inside go backward before any weight changes: changes are not counted.

    Args:
        loss_buffer: a zero-dimensional array where the first loss computed inside may be written, which saves a copy;
            of a stack (R,), where those of its replicas may be.
        outside: called with each parameter that gets a gradient and lies in no optimizer's buffer.
    """

    __slots__ = ("before", "loss_buffer", "outside")

    def __init__(self, loss_buffer: Array | None = None, outside: Callable[[Any], None] | None = None):
        self.loss_buffer, self.outside = loss_buffer, outside

    def __enter__(self) -> None:
        self.before, mode.counting, mode.loss_buffer = mode.counting, False, self.loss_buffer
        mode.outside = self.outside

    def __exit__(self, *_: Any) -> None:
        mode.counting, mode.loss_buffer, mode.outside = self.before, None, None


@contextlib.contextmanager
def observing(observer: Callable[[Function, Sequence[Any], Sequence[Any]], None]) -> Iterator[None]:
    """Inside the ``with`` block ``observer(function, inputs, outputs)`` is called after each operation of this thread,
    whether it is recorded or not."""
    before, mode.observer = mode.observer, observer
    try:
        yield
    finally:
        mode.observer = before


def take_loss_buffer(dtype: Any, shape: tuple[int, ...] = ()) -> Array | None:
    """Where a loss of this type may be written, or losses (R,) of replicas; from then on that place is taken."""
    buffer = mode.loss_buffer
    if buffer is None or buffer.dtype != dtype or buffer.shape != shape:
        return None
    mode.loss_buffer = None
    return buffer


def is_grad_enabled() -> bool:
    """Whether operations record a graph now."""
    return mode.recording


class Node:
    """One executed operation in the graph.

    Attributes:
        parents: for each input that wants a gradient its leaf tensor, or a tuple: the node that made it and which
            output of that it was; None for the others.
        outputs: how many there are.
        inputs: those that can change in place, as they were in the forward pass.
        hooks: by the number of an output what is called with its gradient, see :mod:`.gradient_hooks`.
    """

    __slots__ = ("__weakref__", "function", "hooks", "inputs", "order", "outputs", "parents")

    watched = False
    """Of the class: whether any tensor had a hook. Most programs have none, and need not look for them."""

    def __init__(self, function: Function, parents: tuple, outputs: int, inputs: Sequence[versions.Seen]):
        self.function: Function | None = function
        self.parents = parents
        self.outputs = outputs
        self.inputs = inputs
        self.order = next(_order)
        self.hooks: dict[int, dict] | None = None

    def backward(self, douts: list, retain_graph: bool) -> list[tuple[Any, Array]]:
        """The parents that want a gradient, each with its own; lets go of what was saved unless ``retain_graph``."""
        function, parents = self.function, self.parents
        if function is None:
            raise RuntimeError(
                "backward through a graph that is gone: it was used by an earlier backward; "
                "pass retain_graph=True there to walk it twice"
            )
        for changes, count, array in self.inputs:
            if changes.count != count:
                versions.check(function, changes, array)
        function.grad_buffers = _grad_buffers(parents)
        dins = function.backward(*douts)
        if not isinstance(dins, tuple):
            dins = (dins,)
        if not retain_graph:
            self.function, self.parents, self.inputs = None, (), ()
        if len(dins) != len(parents):
            raise RuntimeError(
                f"{type(function).__name__}.backward returned {len(dins)} gradients for {len(parents)} inputs: return "
                "one for each, None where none is needed"
            )
        found = []
        for parent, din in zip(parents, dins, strict=True):
            if parent is not None:
                if din is None:
                    raise _no_gradient(function, parents, dins)
                found.append((parent, din))
        return found


def _no_gradient(function: Function, parents: tuple, dins: tuple) -> RuntimeError:
    positions = [i for i, parent in enumerate(parents) if parent is not None and dins[i] is None]
    return RuntimeError(
        f"{type(function).__name__}.backward returned None for input {', '.join(map(str, positions))}, which needs a "
        "gradient: return an array of the input's shape, of zeros where the gradient is 0"
    )


def _grad_buffers(parents: tuple) -> tuple[Array | None, ...]:
    """Where each parent's gradient may be written; nowhere for a leaf that stands for two inputs, which get a sum."""
    if Node.watched:
        parents = tuple([None if parent is not None and _leaf_hooks(parent) else parent for parent in parents])
    leaves = [id(parent) for parent in parents if parent is not None and type(parent) is not tuple]
    if not leaves:
        return (None,) * len(parents)
    return tuple([parent.grad_destination() if leaves.count(id(parent)) == 1 else None for parent in parents])


def refuse_create_graph(what: str, create_graph: bool) -> None:
    """Raise where a gradient is to be differentiated again."""
    if create_graph:
        raise ArgumentError(
            f"{what}: expected create_graph=False: a gradient has no graph of its own, so that it cannot be "
            "differentiated again. Write the first gradient out as a formula; the product of a Hessian and a vector v "
            "is (g(w + e v) - g(w - e v)) / (2 e) with the gradients g at two places"
        )


def walk_back(node: Node, index: int, seed: Array | None, retain_graph: bool, collected: Any = None) -> None:
    """Send gradients from a node to the leaves. A node made later is done earlier: then all its users are done.

    Args:
        collected: gets the gradients in place of the leaves, by ``leaf(x, grad)`` and ``node(node, grads)``.
    """
    pending: dict[Node, list] = {}
    owned: set[tuple[Node, int]] = set()  # sums made here, which may be added to in place
    heap: list[tuple[int, Node]] = []
    watched: dict[int, tuple[Any, list]] = {}  # leaves with hooks, and what has come to each

    def receive(target: Node, at: int, grad: Array) -> None:
        douts = pending.get(target)
        if douts is None:
            douts = pending[target] = [None] * target.outputs
            heapq.heappush(heap, (-target.order, target))
        if douts[at] is None:
            douts[at] = grad
        elif getattr(target.function, "adds_gradients", False):  # a graph that is gone has none
            douts[at] = (*douts[at], grad) if isinstance(douts[at], tuple) else (douts[at], grad)
        elif (target, at) in owned:
            douts[at] += grad
        else:
            douts[at] = _sum(douts[at], grad)
            owned.add((target, at))

    def withdraw(parent: Any) -> Array | None:
        """What an operation's output has received, to come again with more added; None where nothing is there yet."""
        douts = pending.get(parent[0]) if type(parent) is tuple else None
        if douts is None or isinstance(douts[parent[1]], tuple):
            return None
        grad, douts[parent[1]] = douts[parent[1]], None
        owned.discard(parent)
        return grad

    receive(node, index, seed)
    while heap:
        _, current = heapq.heappop(heap)
        function = current.function
        if function is not None and function.adds_earlier_grad:
            function.earlier_grad = withdraw(current.parents[0])
        douts = pending.pop(current)
        if collected is not None:
            collected.node(current, douts)  # as they came, as PyTorch has it; those of leaves after their hooks
        if current.hooks is not None:
            douts = [
                grad if grad is None or at not in current.hooks else _seen(current.hooks[at], grad)
                for at, grad in enumerate(douts)
            ]
        for parent, grad in current.backward(douts, retain_graph):
            if type(parent) is tuple:
                receive(parent[0], parent[1], grad)
            elif Node.watched and _leaf_hooks(parent):
                watched.setdefault(id(parent), (parent, []))[1].append(grad)
            elif collected is None:
                parent.accumulate(grad)
            else:
                collected.leaf(parent, grad)
    for leaf, grads in watched.values():
        grad = _seen(leaf._hooks, tuple(grads))
        if collected is None:
            leaf.accumulate(grad)
        else:
            collected.leaf(leaf, grad)


def _sum(a: Array, b: Array) -> Array:
    kernel = a.shape == b.shape and not isinstance(a, ReplicaArray)
    return add(a, b) if kernel else a + b


def _leaf_hooks(parent: Any) -> dict | None:
    """The hooks of a leaf; of what is none, none."""
    return getattr(parent, "_hooks", None)


def seen_by_leaf(leaf: Any, grad: Array) -> Array:
    """The gradient of a leaf from which a pass starts after its hooks have seen it."""
    return _seen(_leaf_hooks(leaf) or {}, grad) if Node.watched else grad


def _seen(hooks: dict[float, Callable], grad: Any) -> Array:
    """A complete gradient, or the tuple of its parts, after the hooks have seen it."""
    if isinstance(grad, tuple):
        grad = functools.reduce(operator.add, grad)
    for number in sorted(hooks):
        grad = hooks[number](grad)
    return grad
