"""Watch a computation, and note each operation, its operands and the module in which it is called."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Function, Parameter
from dlcourse.autograd.base import TensorBase, array_of
from dlcourse.autograd.function import WithoutGradient
from dlcourse.autograd.graph import observing
from dlcourse.autograd.version import arrays_in, overlap
from dlcourse.backend import random
from dlcourse.backend.device import Array
from dlcourse.graphs.names import operation_name
from dlcourse.graphs.structure import Frame, Kind, Node, Source, Value, common_frame, needed_for
from dlcourse.nn.calls import noting_calls
from dlcourse.nn.hooks import Marked
from dlcourse.nn.module import Module


def value_of(array: Array, keep: bool = True) -> Value:
    """An array as a graph has it; ``keep`` copies it to the host."""
    return Value(tuple(array.shape), str(array.dtype), np.array(backend.to_host(array)) if keep else None)


def key_of(x: Any) -> Any:
    """What an operand is known by: the result of an operation by that, anything else by its array."""
    return (x._node, x._index) if isinstance(x, TensorBase) and x._node is not None else id(array_of(x))


class Recorder:
    """Notes operations while it watches, see :meth:`watching`.

    Args:
        keep: whether to keep the values.
    Attributes:
        nodes: in the order in which they came.
    """

    def __init__(self, keep: bool = True):
        self.nodes: list[Node] = []
        self._keep = keep
        self._frame: Frame | None = None
        self._made: dict[Any, tuple[Node, int]] = {}
        self._held: list[tuple[Any, Value, Any]] = []  # with what identities are of
        self._inputs: list[tuple[Node, Array]] = []
        self._used: set[tuple[Node, int]] = set()
        self._calls: dict[str, int] = {}
        self._arguments: dict[Frame, tuple[Any, ...]] = {}

    def add_leaf(self, kind: Kind, name: str, x: Any) -> Node:
        """Make an array or tensor known under a name, before it is used."""
        array = array_of(x)
        trained = isinstance(x, TensorBase) and x.requires_grad
        node = Node(kind, name, values=[value_of(array, self._keep)], frame=self._frame, trained=trained)
        self.nodes.append(node)
        self._know(x, node, 0)
        if kind == "input":
            self._inputs.append((node, array))
        return node

    def values(self) -> Iterator[tuple[Any, Value]]:
        """Each value, and what :class:`~dlcourse.graphs.gradients.Upstream` knows its tensor by."""
        return ((key, value) for key, value, _ in self._held)

    def find(self, x: Any) -> tuple[Node, int] | None:
        """The node that a tensor or array is a value of."""
        return self._made.get(key_of(x))

    @contextlib.contextmanager
    def watching(self, modules: Mapping[str, Module]) -> Iterator[None]:
        """Inside the ``with`` block note every operation; the modules stay as they are, and so do random draws.

        Args:
            modules: by name, those inside others too.
        """
        names = {module: name for name, module in reversed(list(modules.items()))}

        def begin(module: Module, inputs: tuple[Any, ...]) -> None:
            sizes = sum(parameter.size for parameter in module.parameters())
            self._enter(names[module], type(module).__name__, sizes, inputs)

        with (
            random.keeping_draws(),
            keeping_buffers(modules.values()),
            noting_calls(list(names), lambda *_: self._leave(), begin),
            observing(self._note),
        ):
            yield

    @contextlib.contextmanager
    def inside(self, name: str, kind: str) -> Iterator[None]:
        """Inside the ``with`` block operations belong to a call of that name."""
        self._enter(name, kind, 0, ())
        yield
        self._leave()

    def graph_of(self, outputs: Sequence[Any]) -> list[Node]:
        """The nodes that these tensors are computed from, in order; results and unnamed constants get their names."""
        ends = [found[0] for x in outputs if (found := self.find(x)) is not None]
        for node in ends:
            node.is_output = True
        needed = needed_for(ends)
        nodes: dict[Node, None] = {}
        for node in self.nodes:
            if id(node) in needed and node.kind != "parameter":
                nodes.update(dict.fromkeys(each.node for each in node.sources if each.node.kind == "parameter"))
                nodes[node] = None
        nodes.update(dict.fromkeys(ends))
        _place_leaves(list(nodes))
        return list(nodes)

    def _enter(self, name: str, kind: str, parameters: int, inputs: tuple[Any, ...]) -> None:
        self._calls[name] = self._calls.get(name, 0) + 1
        self._frame = Frame(name, kind, self._frame, self._calls[name], parameters)
        self._arguments[self._frame] = inputs

    def _leave(self) -> None:
        frame = self._frame
        assert frame is not None
        unused = [found for x in self._arguments.pop(frame) if (found := self.find(x)) and found not in self._used]
        if unused:  # what the module computed from them without the graph, as features
            for node in self.nodes:
                if node.kind == "constant" and node.frame is frame and not node.sources:
                    node.sources = [Source(*found, None) for found in unused]
                    self._used.update(unused)
        self._frame = frame.parent

    def _note(self, function: Function, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        if isinstance(function, WithoutGradient):
            return  # a comparison, an index: not what a gradient goes through
        if isinstance(function, Marked):  # where a hook sees gradients
            for x, out in zip(inputs, outputs, strict=True):
                self._know(out, *self._source(x))
            return
        sources = [Source(*self._source(x), position) for position, x in enumerate(inputs) if hasattr(x, "dtype")]
        sources += self._settings(function, [array_of(x) for x in inputs])
        self._used.update((source.node, source.output) for source in sources)
        values = [value_of(out.data, self._keep) for out in outputs]
        node = Node("operation", "", operation_name(function, inputs), values, sources, frame=self._frame)
        node.function = function
        self.nodes.append(node)
        for index, out in enumerate(outputs):
            self._know(out, node, index)

    def _source(self, x: Any) -> tuple[Node, int]:
        """The node of an operand; one that nothing is known of is a constant, or a view of an input."""
        found = self.find(x)
        if found is not None:
            return found
        array = array_of(x)
        seen_as = next((node for node, known in self._inputs if overlap(array, known)), None)
        if seen_as is None:
            kind: Kind = "parameter" if isinstance(x, Parameter) else "constant"
            seen_as = self.add_leaf(kind, "", x)
        else:
            self._know(x, seen_as, 0)
        return seen_as, 0

    def _settings(self, function: Function, operands: list[Any]) -> Iterator[Source]:
        """The inputs that an operation holds beside its operands: labels, or tokens that are looked up."""
        known = [x for x in operands if hasattr(x, "strides")]
        held = [each for each in arrays_in(vars(function).values()) if not any(overlap(each, x) for x in known)]
        for node, array in self._inputs:
            if array.size and any(overlap(array, each) for each in held):
                yield Source(node, 0, None)

    def _know(self, x: Any, node: Node, index: int) -> None:
        key = key_of(x)
        self._made[key] = node, index
        self._held.append((id(x) if isinstance(key, int) else key, node.values[index], (x, array_of(x))))


def _place_leaves(nodes: list[Node]) -> None:
    """Put parameters and constants beside what they are used by, and inputs outside of all calls."""
    users: dict[int, list[Frame | None]] = {}
    for node in nodes:
        for source in node.sources:
            users.setdefault(id(source.node), []).append(node.frame)
    for node in nodes:
        if node.kind == "input":
            node.frame = None
        elif node.kind != "operation" and not node.sources and id(node) in users:
            node.frame = common_frame(iter(users[id(node)]))


@contextlib.contextmanager
def keeping_buffers(modules: Any) -> Iterator[None]:
    """After the ``with`` block buffers are as before: drawing a net in training changes no running statistics."""
    saved = [
        (module, name, value, array_of(value).copy())
        for module in modules
        if module.training
        for name, value in module.own_buffers()
    ]
    try:
        yield
    finally:
        for module, name, value, before in saved:
            array_of(value)[...] = before
            if getattr(module, name) is not value:
                setattr(module, name, value)
