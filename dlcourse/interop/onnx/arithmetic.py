"""ONNX nodes of the operations that tensors have: arithmetic, shapes, reductions, formulas."""

from math import sqrt
from typing import Any

import numpy as np

from dlcourse.autograd import elementwise, linalg, reduce, shape, softmax
from dlcourse.autograd.function import name_of
from dlcourse.autograd.pairs import PairFormula
from dlcourse.autograd.unary import Formula, Steps
from dlcourse.interop.onnx.graph import Graph, Unsayable, Value
from dlcourse.interop.onnx.library import Library
from dlcourse.interop.onnx.step import EXPORTERS, Step, exports

__all__: list[str] = []

LAST = np.iinfo(np.int64).max

# --- element by element -----------------------------------------------------------------------------------------------

OPERATORS = {
    **{getattr(elementwise, name): name for name in ("Add", "Sub", "Mul", "Div", "Pow", "Neg", "Exp", "Log", "Sqrt")},
    **{getattr(elementwise, name): name for name in ("Tanh", "Sigmoid", "Reciprocal", "Abs")},
    elementwise.ReLU: "Relu",
    elementwise.Maximum: "Max",
    elementwise.Minimum: "Min",
}


def _operator(op: str) -> Any:
    return lambda step, *operands: step.graph.node(op, *step.in_one_type(*operands), dtype=step.dtype)


EXPORTERS |= {kind: _operator(op) for kind, op in OPERATORS.items()}


@exports(elementwise.Square)
def square(step: Step, x: Value) -> Value:
    return x * x


@exports(elementwise.Clip)
def clip(step: Step, x: Value, low: Any, high: Any) -> Value:
    for op, bound in (("Max", low), ("Min", high)):
        x = x if bound is None else step.graph.node(op, *step.in_one_type(x, bound))
    return x


@exports(elementwise.Where)
def where(step: Step, a: Any, b: Any) -> Value:
    return step.graph.where(step.setting(lambda f: f.condition), *step.in_one_type(a, b))


@exports(shape.Masked)
def masked(step: Step, x: Value) -> Value:
    return step.graph.where(step.setting(lambda f: f.mask), x, 0)


@exports(elementwise.Cast)
def cast(step: Step, x: Value) -> Value:
    return x.cast(step.dtype)


@exports(elementwise.Copy)
def copy(step: Step, x: Value) -> Value:
    return x


@exports(elementwise.Remainder)
def remainder(step: Step, a: Any, b: Any) -> Value:
    a, b = (x if isinstance(x, Value) else step.graph.constant(np.asarray(x, step.dtype)) for x in (a, b))
    if step.dtype.kind != "f":
        return step.graph.node("Mod", *step.in_one_type(a, b))
    return a - b * step.graph.node("Floor", a / b)


@exports(Formula, elementwise.Curve, elementwise.Piecewise, PairFormula)
def formula(step: Step, *operands: Any) -> Value:
    """The function's own formula, on values of the graph in place of arrays."""
    name = name_of(step.function)
    if name == "erf":
        return step.graph.node("Erf", *operands)
    if name == "erfc":
        return 1 - step.graph.node("Erf", *operands)
    try:
        return step.function.value(Library(step.graph), *step.in_one_type(*operands))
    except (AttributeError, TypeError, ValueError) as error:
        raise Unsayable(f"the formula of {name} cannot be said in ONNX: {error}") from error


@exports(Steps)
def steps(step: Step, x: Value) -> Value:
    name = step.function.name
    if name == "round":
        factor = 10.0 ** (step.function.settings or (0,))[0]
        return step.graph.node("Round", x * factor) * (1 / factor)
    return getattr(Library(step.graph), name)(x)


# --- shapes -----------------------------------------------------------------------------------------------------------


@exports(shape.Reshape)
def reshape(step: Step, x: Value) -> Value:
    return reshaped(step.graph, x, step.dims)


def reshaped(graph: Graph, x: Value, dims: Any) -> Value:
    """The elements in another shape; lengths that are known at run time only are those of x, but for one."""
    wanted = [
        0 if not isinstance(d, int) and x.dims and i < x.ndim and x.dims[i] == d else d for i, d in enumerate(dims)
    ]
    if sum(not isinstance(each, int) for each in wanted) <= 1:
        return graph.node("Reshape", x, np.array([d if isinstance(d, int) else -1 for d in wanted], dtype=np.int64))
    return graph.node("Reshape", x, graph.sizes(dims, [x]))


@exports(shape.Transpose)
def transpose(step: Step, x: Value) -> Value:
    axes = step.setting(lambda f: f.axes)
    return x.transpose(*(reversed(range(x.ndim)) if axes is None else (axis % x.ndim for axis in axes)))


@exports(shape.BroadcastTo)
def broadcast_to(step: Step, x: Value) -> Value:
    return step.graph.node("Expand", x, step.graph.sizes(step.dims, [x]))


@exports(shape.Concatenate)
def concatenate(step: Step, *operands: Value) -> Value:
    return step.graph.node("Concat", *step.in_one_type(*operands), axis=step.setting(lambda f: f.axis))


@exports(shape.Stack)
def stack(step: Step, *operands: Value) -> Value:
    axis = step.setting(lambda f: f.axis)
    apart = [step.graph.unsqueeze(x, axis) for x in step.in_one_type(*operands)]
    return step.graph.node("Concat", *apart, axis=axis)


@exports(shape.Unbind)
def unbind(step: Step, x: Value) -> tuple:
    return tuple(step.graph.node("Gather", x, np.array(i), axis=0) for i in range(len(step.out)))


@exports(shape.Split)
def split(step: Step, x: Value) -> Any:
    sizes, axis = step.setting(lambda f: f.sizes), step.setting(lambda f: f.axis)
    if len(sizes) == 1:
        return x
    return tuple(step.graph.node("Split", x, np.array(sizes, np.int64), outputs=len(sizes), axis=axis))


@exports(shape.Roll)
def roll(step: Step, x: Value) -> Value:
    axes, shifts = step.setting(lambda f: f.axes), step.setting(lambda f: f.shifts)
    for axis, shift in zip(axes, shifts, strict=True):
        length = x.shape[axis] if x.dims else step.dims[axis]
        if not isinstance(length, int):
            raise Unsayable("a roll along an axis of any length")
        cut = -shift % length
        if cut:
            pieces = [cut_out(step.graph, x, axis, *each) for each in ((cut, LAST), (0, cut))]
            x = step.graph.node("Concat", *pieces, axis=axis)
    return x


def cut_out(graph: Graph, x: Value, axis: int, start: Any, stop: Any, step: int = 1) -> Value:
    """x[start:stop:step] along an axis."""
    ends = [each if isinstance(each, Value) else np.array([each], dtype=np.int64) for each in (start, stop)]
    return graph.node("Slice", x, *ends, np.array([axis], np.int64), np.array([step], np.int64))


@exports(shape.Windows)
def windows(step: Step, x: Value) -> Value:
    axis, size, apart = step.setting(lambda f: (f.axis, f.size, f.step))
    length = x.shape[axis] if x.dims else step.dims[axis]
    if not isinstance(length, int):
        raise Unsayable("windows along an axis of any length")
    places = np.arange(0, length - size + 1, apart)[:, None] + np.arange(size)
    y = step.graph.node("Gather", x, places, axis=axis)
    return y.transpose(*(i for i in range(len(step.dims)) if i != axis + 1), axis + 1)


@exports(shape.GetItem)
def get_item(step: Step, x: Value) -> Value:
    functions: Any = step.functions
    indices = [each if isinstance(each, tuple) else (each,) for each in (f.index for f in functions)]
    kinds = [tuple(map(type, index)) for index in indices]
    if any(each != kinds[0] for each in kinds):
        raise Unsayable("an index that is another for inputs of another size")
    if sum(hasattr(part, "dtype") for part in indices[0]) > 1:
        return _at_places(step, x, indices)
    taken = sum(part is not None and part is not Ellipsis for part in indices[0])
    result, axis = x, 0
    removed: list[int] = []
    added: list[int] = []
    for place, part in enumerate(indices[0]):
        parts = [index[place] for index in indices]
        if part is Ellipsis:
            axis += x.ndim - taken
        elif part is None:
            added.append(axis - len(removed) + len(added))
        elif isinstance(part, slice):
            result = _sliced(step, x, result, axis, parts)
            axis += 1
        elif hasattr(part, "dtype"):
            value = step.known(parts)
            if value.dtype == bool or (value.ndim != 1 and (removed or added)):
                raise Unsayable("an index of booleans, or of an array of several axes beside numbers")
            result = step.graph.node("Gather", result, value, axis=axis)
            if value.ndim != 1:
                axis += value.ndim - 1
            axis += 1
        else:
            result = cut_out(step.graph, result, axis, *_one(x, axis, parts))
            removed.append(axis)
            axis += 1
    result = step.graph.squeeze(result, *removed) if removed else result
    return step.graph.unsqueeze(result, *added) if added else result


def _at_places(step: Step, x: Value, indices: list[tuple]) -> Value:
    """x[i, j, ...] with arrays of indices for the first axes, which broadcast."""
    values = [step.known(list(parts)) for parts in zip(*indices, strict=True) if hasattr(parts[0], "dtype")]
    if len(values) != len(indices[0]) or any(value.dtype == bool for value in values):
        raise Unsayable("an index of several arrays beside other things, or of booleans")
    places = step.dims[: len(step.dims) - (x.ndim - len(values))]
    sizes = step.graph.sizes(places, values)
    whole = [step.graph.node("Expand", value.cast(np.int64), sizes) for value in values]
    joined = step.graph.node("Concat", *(step.graph.unsqueeze(each, -1) for each in whole), axis=-1)
    return step.graph.node("GatherND", x, joined, dtype=x.dtype)


def _one(x: Value, axis: int, places: list[int]) -> tuple[int, int]:
    """The start and the end of one place along an axis, counted from its one end or the other as all traces have it."""
    length = x.shape[axis]
    lengths = [length] * len(places) if isinstance(length, int) else list(length)
    front = {place % size for place, size in zip(places, lengths, strict=True)}
    back = {place % size - size for place, size in zip(places, lengths, strict=True)}
    if places[0] >= 0 and len(front) == 1:
        (start,) = front
    elif len(back) == 1:
        (start,) = back
    else:
        raise Unsayable("an index that is another for inputs of another size")
    return start, LAST if start == -1 else start + 1


def _sliced(step: Step, x: Value, result: Value, axis: int, parts: list[slice]) -> Value:
    length = x.shape[axis]
    lengths = [length] * len(parts) if isinstance(length, int) else list(length)
    strides = {part.step or 1 for part in parts}
    if len(strides) > 1:
        raise Unsayable("a slice that is another for inputs of another size")
    (stride,) = strides
    if all(part.indices(size) == (0, size, 1) for part, size in zip(parts, lengths, strict=True)):
        return result
    if stride < 0:
        start, stop = (_bound(step, [getattr(p, end) for p in parts], lengths) for end in ("start", "stop"))
        return cut_out(
            step.graph, result, axis, LAST if start is None else start, -LAST if stop is None else stop, stride
        )
    start, stop = (_bound(step, [getattr(p, end) for p in parts], lengths) for end in ("start", "stop"))
    return cut_out(step.graph, result, axis, 0 if start is None else start, LAST if stop is None else stop, stride)


def _bound(step: Step, bounds: list[Any], lengths: list[int]) -> Any:
    """One end of a slice: a number, None, or the length of an input."""
    if len(set(bounds)) == 1:
        return bounds[0]
    if all(bound == length for bound, length in zip(bounds, lengths, strict=True)):
        return None
    back = {bound - length for bound, length in zip(bounds, lengths, strict=True)}
    return back.pop() if len(back) == 1 and min(back) < 0 else step.graph.size(tuple(bounds))


# --- reductions -------------------------------------------------------------------------------------------------------


def _axes(step: Step) -> tuple[list[int], bool]:
    return list(step.setting(lambda f: f.axes)), step.setting(lambda f: f.keepdims)


REDUCTIONS = {reduce.Sum: "Sum", reduce.Mean: "Mean", reduce.Prod: "Prod", reduce.Norm2: "L2"}
REDUCTIONS |= {softmax.LogSumExp: "LogSumExp"}


def _reduction(kind: str) -> Any:
    return lambda step, x: step.graph.reduce(kind, x.cast(step.dtype), *_axes(step))


EXPORTERS |= {kind: _reduction(op) for kind, op in REDUCTIONS.items()}


@exports(reduce.Extreme)
def extreme(step: Step, x: Value) -> Value:
    return step.graph.reduce(step.function.name.capitalize(), x, *_axes(step))


@exports(reduce.Picked)
def picked(step: Step, x: Value) -> Value:
    axis, keepdims = step.setting(lambda f: (f.axis, f.keepdims))
    indices = step.setting(lambda f: f.indices)
    if keepdims:
        return step.graph.node("GatherElements", x, indices, axis=axis)
    return step.graph.squeeze(
        step.graph.node("GatherElements", x, step.graph.unsqueeze(indices, axis), axis=axis), axis
    )


@exports(reduce.Var)
def variance(step: Step, x: Value) -> Value:
    axes, keepdims = _axes(step)
    count = step.setting(lambda f: f.count)
    centered = x - step.graph.reduce("Mean", x, axes, True)
    factor = count / max(count - step.setting(lambda f: f.correction), 0) if count else np.nan
    found = step.graph.reduce("Mean", centered * centered, axes, keepdims) * factor
    return step.graph.node("Sqrt", found) if isinstance(step.function, reduce.Std) else found


@exports(reduce.CumSum)
def cumsum(step: Step, x: Value) -> Value:
    return step.graph.node("CumSum", x.cast(step.dtype), np.array(step.setting(lambda f: f.axis) % x.ndim))


@exports(softmax.Softmax)
def softmax_(step: Step, x: Value) -> Value:
    return step.graph.node("Softmax", x, axis=step.setting(lambda f: f.axis))


@exports(softmax.LogSoftmax)
def log_softmax(step: Step, x: Value) -> Value:
    return step.graph.node("LogSoftmax", x, axis=step.setting(lambda f: f.axis))


@exports(linalg.MatMul)
def matmul(step: Step, a: Value, b: Value) -> Value:
    return a @ b


HALF_ROOT = sqrt(0.5)


def gelu(x: Value, approximate: str = "none") -> Value:
    """GELU of a value, for its own function and for the one that it is fused into."""
    if approximate == "tanh":
        return 0.5 * x * (1 + x.graph.node("Tanh", sqrt(2 / np.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + x.graph.node("Erf", x * HALF_ROOT))
