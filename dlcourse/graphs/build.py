"""``dl.graph``: the computational graph of a tensor, a model or a function."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from dlcourse import backend
from dlcourse.autograd import enable_grad
from dlcourse.autograd.base import TensorBase, array_of
from dlcourse.autograd.creation import as_tensor
from dlcourse.autograd.creation import tensor as make_tensor
from dlcourse.autograd.version import overlap
from dlcourse.backend.precision import is_floating
from dlcourse.errors import ArgumentError, ArgumentTypeError
from dlcourse.graphs.gradients import Upstream, add_local
from dlcourse.graphs.graph import Graph
from dlcourse.graphs.names import operation_name
from dlcourse.graphs.recording import Recorder, key_of, value_of
from dlcourse.graphs.structure import Kind, Node, Source, Value
from dlcourse.nn.module import Module


def graph(of: Any, *inputs: Any, loss: Callable | None = None, params: Mapping[str, TensorBase] | None = None) -> Graph:
    """The computational graph of a tensor, or of what a model or a function computes from inputs (lecture 5).

    It is what ``torchviz.make_dot`` and ``torchview.draw_graph`` draw, with values and gradients. In a notebook it
    shows itself; ``.save("net.svg")`` writes a picture, ``.dot()`` is text for Graphviz, ``print(graph.walk())`` a
    table of every node with its value, the gradient from above, and its local gradients. Nothing changes: no ``.grad``,
    no running statistics, no later random draws. Gradients are those of the output, of several numbers those of their
    sum.

    Args:
        of: a tensor before ``backward()``, whose graph holds no values in between; or a model; or a function.
        inputs: of the model or function, tensors, arrays or numbers. Those with a fraction get a gradient.
        loss: a function of outputs and targets; then the last of the inputs are the targets.
        params: names for tensors, such as ``dict(model.named_parameters())``; those of a model are known.
    Raises:
        TypeError: ``of`` is none of these, or computes no tensor.
        ValueError: inputs are given with a tensor, or the tensor has no graph.
        RuntimeError: its graph is gone, as after ``backward()``.
    Example:
        >>> circuit = dl.graph(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0)
        >>> print(circuit.walk())
        node  operation  from   shape       value  gradient  local gradients
        x     input             () float64  -2     -4
        y     input             () float64  5      -4
        z     input             () float64  -4     3
        v1    +          x, y   () float64  3      -4        d/dx 1, d/dy 1
        v2    *          v1, z  () float64  -12    1         d/dv1 -4, d/dz 3
    """
    names = _checked_names(params)
    if isinstance(of, TensorBase):
        if inputs or loss is not None:
            raise ArgumentError("graph: a tensor takes no inputs and no loss; give the model or function with them")
        return _of_tensor(of, names)
    if not callable(of):
        raise ArgumentTypeError(f"graph: expected a tensor, a model or a function, got a {type(of).__name__}")
    if loss is not None and not inputs:
        raise ArgumentError("graph: with a loss the last of the inputs are the targets, and there are no inputs")
    return record(of, inputs, loss, names)


def record(
    of: Callable,
    inputs: Sequence[Any],
    loss: Callable | None = None,
    names: Mapping[str, TensorBase] | None = None,
    keep: bool = True,
    title: str = "",
    loss_dtype: str | None = None,
) -> Graph:
    """The graph of a call; for the arguments see :func:`graph`.

    Args:
        keep: whether values and gradients are kept.
        title: of the graph.
        loss_dtype: the type in which the loss is computed, where that is not the model's.
    """
    inputs, targets = (inputs[:-1], inputs[-1:]) if loss is not None else (inputs, ())
    modules = {**_modules(of, ""), **(_modules(loss, "loss") if loss is not None else {})}
    operands: list[Any] = []
    for x in inputs:
        operands.append(_operand(_apart(x, operands), of))
    recorder = Recorder(keep)
    for name, tensor in (names or {}).items():
        if tensor._node is None:
            recorder.add_leaf("parameter", name, tensor)
    for path, module in modules.items():
        held: tuple[tuple[Kind, Any], ...] = ("parameter", module.own_parameters()), ("constant", module.own_buffers())
        for kind, named in held:
            for name, x in named:
                if recorder.find(x) is None:
                    recorder.add_leaf(kind, f"{path}.{name}" if path else name, x)
    for name, x in zip(_argument_names(of, len(inputs)), operands, strict=True):
        if hasattr(x, "dtype") and recorder.find(x) is None:
            recorder.add_leaf("input", name, x)
    targets = [_apart(x, operands) for x in targets]
    for x in targets:
        if hasattr(x, "dtype"):
            recorder.add_leaf("input", "y" if all(node.name != "y" for node in recorder.nodes) else "targets", x)
    with recorder.watching(modules), enable_grad():
        found = of(*operands)
        if loss is not None:
            around = nullcontext() if isinstance(loss, Module) else recorder.inside("loss", _called(loss))
            with around:
                found = loss(found if loss_dtype is None else found.to(dtype=loss_dtype), *targets)
    outputs = list(_tensors(found))
    if not outputs:
        raise ArgumentTypeError(f"graph: {_called(of if loss is None else loss)} gave no tensor, but {found!r:.80}")
    nodes = recorder.graph_of(outputs)
    for name, tensor in (names or {}).items():
        known = recorder.find(tensor)
        if known is not None:
            known[0].name = name
    if keep:
        _add_gradients(nodes, recorder.values(), outputs)
    for node in nodes:
        node.function = None  # and with it what it saved
    return Graph(nodes, title or _called(of))


def _add_gradients(nodes: Sequence[Node], values: Iterable[tuple[Any, Value]], outputs: Sequence[TensorBase]) -> None:
    upstream = Upstream()
    upstream.walk([y for y in outputs if y.requires_grad])
    for key, value in values:
        if value.gradient is None:
            value.gradient = upstream.of(key)
    for node in nodes:
        add_local(node, backend.of(outputs[0].data))


def _of_tensor(y: TensorBase, names: Mapping[str, TensorBase]) -> Graph:
    """The graph of a tensor, found by walking back: a result in between is known by its gradient alone."""
    if not y.requires_grad:
        raise ArgumentError(
            "graph: this tensor has no graph: nothing that it was computed from requires a gradient, or it was "
            "computed under no_grad; give the function and its inputs: dl.graph(f, x)"
        )
    called = {key_of(x): (name, x) for name, x in names.items()}
    upstream = Upstream()
    upstream.walk([y])
    found: dict[Any, Node] = {}
    for each in sorted(_executed(y), key=lambda each: each.order):
        sources = []
        for position, parent in enumerate(each.parents):
            if parent is not None:
                leaf = None if type(parent) is tuple else parent
                key = id(parent.data) if leaf is not None else parent[0]
                if leaf is not None and key not in found:
                    found[key] = _leaf(leaf, called.get(key, ("", None))[0], upstream)
                sources.append(Source(found[key], 0 if leaf is not None else parent[1], position))
        node = Node("operation", "", operation_name(each.function, each.parents), sources=sources)
        node.function, found[each] = each.function, node
        for index in range(each.outputs):
            gradient = upstream.of((each, index))
            name, known = called.get((each, index), ("", y if (each, index) == key_of(y) else None))
            value = value_of(known.data) if known is not None else _unknown(gradient)
            value.gradient = gradient
            node.values.append(value)
            node.name = name or node.name
    if y._node is None:
        found[id(y.data)] = _leaf(y, called.get(key_of(y), ("", None))[0], upstream)
    found[y._node if y._node is not None else id(y.data)].is_output = True
    for node in found.values():
        add_local(node, backend.of(y.data))
    return Graph(list(found.values()))


def _executed(y: TensorBase) -> Iterator[Any]:
    """The nodes of autograd that lead to a tensor."""
    seen: set[int] = set()
    waiting = [y._node]
    while waiting:
        node = waiting.pop()
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            yield node
            waiting += [parent[0] for parent in node.parents if type(parent) is tuple]


def _leaf(x: TensorBase, name: str, upstream: Upstream) -> Node:
    value = value_of(x.data)
    value.gradient = upstream.of(id(x))
    return Node("parameter", name or "leaf", values=[value])


def _unknown(gradient: Any) -> Value:
    return Value((), "?") if gradient is None else Value(gradient.shape, str(gradient.dtype))


def _modules(of: Any, name: str) -> dict[str, Module]:
    """The modules of a model by name; of a function those that it uses, by the names of its variables."""
    if isinstance(of, Module):
        return dict(of.named_modules(prefix=name))
    try:
        known = inspect.getclosurevars(of)
    except TypeError:  # it is no function of Python's own
        return {}
    used = {**known.globals, **known.nonlocals}
    held = {each: value for each, value in used.items() if isinstance(value, Module)}
    return {path: module for each, value in held.items() for path, module in value.named_modules(prefix=each)}


def _operand(x: Any, of: Any) -> Any:
    """An input as the model takes it; what is no tensor yet and has a fraction gets a gradient."""
    if isinstance(x, TensorBase) or not (hasattr(x, "dtype") or isinstance(x, int | float | list)):
        return x
    tensor = make_tensor(x, dtype="float64") if isinstance(x, int | float) else as_tensor(x)
    if not is_floating(tensor.dtype):
        return tensor
    parameter = next(of.parameters(), None) if isinstance(of, Module) else None
    tensor = tensor if parameter is None else tensor.to(dtype=parameter.dtype)
    return tensor.detach().requires_grad_()


def _apart(x: Any, others: Sequence[Any]) -> Any:
    """An array in memory of its own, by which it is known: the targets of a text are the inputs, one character on."""
    known = [array_of(other) for other in others]
    shared = hasattr(x, "strides") and any(hasattr(each, "strides") and overlap(x, each) for each in known)
    return x.copy() if shared else x


def _argument_names(of: Any, count: int) -> list[str]:
    """The names of a function's positional arguments, and of those that have none."""
    try:
        parameters = list(inspect.signature(of.forward if isinstance(of, Module) else of).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = [each.name for each in parameters if each.kind in kinds][:count]
    return names + [f"x{place + 1}" for place in range(len(names), count)]


def _tensors(found: Any) -> Iterator[TensorBase]:
    if isinstance(found, TensorBase):
        yield found
    elif isinstance(found, Mapping | list | tuple):
        for each in found.values() if isinstance(found, Mapping) else found:
            yield from _tensors(each)


def _called(of: Any) -> str:
    name = getattr(of, "__name__", type(of).__name__)
    return "function" if name == "<lambda>" else name


def _checked_names(params: Mapping[str, TensorBase] | None) -> Mapping[str, TensorBase]:
    for name, value in (params or {}).items():
        if not isinstance(value, TensorBase):
            raise ArgumentTypeError(f"graph: params has names for tensors, got a {type(value).__name__} as {name!r}")
    return params or {}
