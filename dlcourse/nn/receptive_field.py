"""Receptive fields: which part of the input an output of a layer depends on (lecture 8).

They are read off the graph of a forward pass, so branches, shortcuts and functions between modules count as well. Let
fields have the size r and lie j apart. Then a window of k taps that are d apart makes r + d (k - 1) j of r, and its
stride s makes s j of j. Where branches meet, the field covers those of all of them. (Araujo, Norris & Sim 2019.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from types import ModuleType
from typing import Any

from dlcourse.autograd import Function, Tensor, elementwise, enable_grad, linalg, pairs, reduce, shape, softmax, unary
from dlcourse.autograd.function import InFloat32
from dlcourse.autograd.graph import Node
from dlcourse.nn import activation, activation_channels, activation_formulas, hooks
from dlcourse.nn.calls import in_evaluation, noting_calls
from dlcourse.nn.module import Module
from dlcourse.ops import attention, conv, dropout, group_norm, linear, norm, pad, pool, recurrent, residual, rms_norm

__all__ = ["ReceptiveField", "receptive_fields"]


@dataclass(frozen=True)
class ReceptiveField:
    """The part of the input that the outputs of a layer depend on, along each axis of positions: (H, W), or (T,).

    It is that of the architecture: weights that are 0 count, and so does padding, so it may be larger than the input.

    Attributes:
        size: how many positions of the input an output depends on; empty where that is not known.
        step: how far apart the fields of neighboring outputs are; 0 where each is the whole input.
        start: the first position in the field of output 0; negative in the padding.
    """

    size: tuple[int, ...]
    step: tuple[int, ...]
    start: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Whether every output depends on the whole input."""
        return self.size != () and not any(self.step)

    def bounds(self, position: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Along each axis the first position in the field of the output at this position, and the one after the last;
        what is below 0 or beyond the input is padding."""
        places = zip(self.start, self.step, self.size, position, strict=True)
        return tuple((start + step * at, start + step * at + size) for start, step, size, at in places)

    def __str__(self) -> str:
        return "?" if not self.size else "all" if self.whole else " x ".join(map(str, self.size))


UNKNOWN = ReceptiveField((), (), ())


def receptive_fields(model: Module, x: Tensor) -> dict[str, ReceptiveField]:
    """The receptive field of every module's output, by name; of one that is called several times the last call's.

    Args:
        model: it comes back as it was; it computes in evaluation mode, where samples do not see each other.
        x: images (N, H, W, C) or series (N, T, D); one is enough.
    Returns:
        The fields in the order in which the modules are done; those of modules that x has no part in are left out.
    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3))
        >>> {name: str(field) for name, field in nn.receptive_fields(net, dl.zeros(1, 32, 32, 3)).items()}
        {'0': '3 x 3', '1': '4 x 4', '2': '8 x 8', '': '8 x 8'}
    """
    names = {id(module): name for name, module in model.named_modules()}
    graph, fields = FieldsOf(x), dict[str, ReceptiveField]()

    def note(module: Module, _: Any, output: Any) -> None:
        if field := graph.field(output):
            fields[names[id(module)]] = field

    with in_evaluation(model), noting_calls(model.modules(), note), enable_grad():
        model(graph.x)
    return fields


class FieldsOf:
    """The receptive fields of what is computed from :attr:`x`, a leaf with the values of an input."""

    def __init__(self, x: Tensor):
        self.x = Tensor(x.data, requires_grad=True)
        zeros = (0,) * (x.ndim - 2)
        self.pixel = ReceptiveField((1,) * (x.ndim - 2), (1,) * (x.ndim - 2), zeros)
        self.whole = ReceptiveField(tuple(x.shape[1:-1]), zeros, zeros)
        self.known: dict[Node, ReceptiveField | None] = {}

    def field(self, output: Any) -> ReceptiveField | None:
        """That of a module's output, of several of the first; None where x has no part in it."""
        first = output[0] if isinstance(output, tuple) else output
        return self._of((first._node, 0)) if isinstance(first, Tensor) and first._node else None

    def _of(self, source: Any) -> ReceptiveField | None:
        """That of a leaf, or of a node with all that it is computed from (without recursion: nets are deep)."""
        if not isinstance(source, tuple):
            return self.pixel if source is self.x else None
        pending = [source[0]]
        while pending:
            missing = [p[0] for p in pending[-1].parents if isinstance(p, tuple) and p[0] not in self.known]
            if missing:
                pending += missing
            else:
                node = pending.pop()
                self.known[node] = self._computed(node)
        return self.known[source[0]]

    def _computed(self, node: Node) -> ReceptiveField | None:
        parents = [self.known[p[0]] if isinstance(p, tuple) else self._of(p) for p in node.parents]
        inputs = [field for field in parents if field is not None]
        if not inputs or self.whole in inputs:
            return self.whole if inputs else None
        function, field = node.function, _covering(inputs)
        while isinstance(function, InFloat32 | conv.OfSequences):
            function = function.function
        rule = next((rule for kinds, rule in _RULES.items() if isinstance(function, kinds)), None)
        if rule is None or (field == UNKNOWN and rule not in (_all, _multiplied)):
            return UNKNOWN
        return rule(function, field) or self.whole


def _covering(fields: list[ReceptiveField]) -> ReceptiveField:
    """The field of what is computed from outputs with these fields at the same position."""
    first = fields[0]
    if any(field.step != first.step for field in fields):
        return UNKNOWN
    start = tuple(map(min, zip(*(field.start for field in fields), strict=True)))
    ends = zip(*(map(sum, zip(field.start, field.size, strict=True)) for field in fields), strict=True)
    return replace(first, size=tuple(max(end) - low for low, end in zip(start, ends, strict=True)), start=start)


Answer = ReceptiveField | None
"""The field of a function's output; None: every output depends on all positions of its input."""


def _own(function: Any, field: ReceptiveField) -> Answer:
    return field


def _all(function: Any, field: ReceptiveField) -> Answer:
    return None


def _window(function: Any, field: ReceptiveField) -> Answer:
    geometry = function.geometry
    taps = geometry.window if isinstance(function, pool.Pool2d) else function.weight_shape[1:3]
    settings = (each[-len(field.size) :] for each in (taps, geometry.stride, geometry.padding, geometry.dilation))
    size, step, start = [], [], []
    for r, j, at, k, s, p, d in zip(field.size, field.step, field.start, *settings, strict=True):
        size.append(r + d * (k - 1) * j)
        step.append(s * j)
        start.append(at - p * j)
    return ReceptiveField(tuple(size), tuple(step), tuple(start))


def _strided(function: Any, field: ReceptiveField) -> Answer:
    return replace(field, step=tuple(function.stride * step for step in field.step))


def _padded(function: Any, field: ReceptiveField) -> Answer:
    before = [low for low, _ in function.widths[1:-1]]
    return replace(field, start=tuple(at - j * b for at, j, b in zip(field.start, field.step, before, strict=True)))


def _reshaped(function: Any, field: ReceptiveField) -> Answer:
    """Own where the positions stay as they are (axes of one position may come and go), all where they are joined with
    the last axis."""
    source = function.source
    known = -prod(function.shape)
    target = [prod(source) // known if size == -1 and known else size for size in function.shape]
    if _positions(source) == _positions(target) and source[-1] == target[-1]:
        return field
    return None if len(target) == 2 and target[0] == source[0] else UNKNOWN


def _positions(shape: Sequence[int]) -> list[int]:
    return [size for size in shape[1:-1] if size != 1]


def _reduced(function: Any, field: ReceptiveField) -> Answer:
    positions = {axis for axis in range(1, len(function.shape) - 1) if function.shape[axis] > 1}
    met = positions.intersection(function.axes)
    return field if not met else None if met == positions else UNKNOWN


def _along(function: Any, field: ReceptiveField) -> Answer:
    """Own where the function works along the last axis."""
    return field if function.axis in (-1, len(field.size) + 1) else UNKNOWN


def _sliced(function: Any, field: ReceptiveField) -> Answer:
    index = function.index if isinstance(function.index, tuple) else (function.index,)
    step, start = list(field.step), list(field.start)
    for axis, each in enumerate(index):
        if not isinstance(each, slice) or (each.start or 0) < 0 or (each.step or 1) < 0:
            return UNKNOWN
        if 1 <= axis <= len(step):
            start[axis - 1] += (each.start or 0) * step[axis - 1]
            step[axis - 1] *= each.step or 1
    return replace(field, step=tuple(step), start=tuple(start))


def _multiplied(function: Any, field: ReceptiveField) -> Answer:
    """Own where a matrix maps the last axis, all where it mixes positions."""
    return field if len(function.shapes[1]) == 2 and len(function.shapes[0]) == len(field.size) + 2 else None


def _functions(*modules: ModuleType) -> tuple[type[Function], ...]:
    """Those that these modules define."""
    found = ((module, value) for module in modules for value in vars(module).values() if isinstance(value, type))
    return tuple(kind for module, kind in found if issubclass(kind, Function) and kind.__module__ == module.__name__)


_RULES: dict[tuple[type[Function], ...], Callable[[Any, ReceptiveField], Answer]] = {
    (conv.Conv2d, pool.Pool2d): _window,
    (residual.ShrinkAndWiden,): _strided,
    (pad.Pad,): _padded,
    (shape.Reshape,): _reshaped,
    (shape.GetItem,): _sliced,
    (shape.Concatenate, shape.Split, softmax.Softmax, softmax.LogSoftmax): _along,
    (reduce.Reduction,): _reduced,
    (linalg.MatMul,): _multiplied,
    (group_norm.GroupNorm, attention.Attention, recurrent.Recurrent, recurrent.LSTM): _all,
    (linear.Linear, norm.BatchNorm, norm.LayerNorm, rms_norm.RMSNorm, residual.AddReLU, hooks.Marked): _own,
    _functions(elementwise, unary, pairs, dropout, activation, activation_channels, activation_formulas): _own,
}
"""By function; the first that fits. Of any other it is not known what its outputs depend on."""
