"""ONNX nodes of the operations that have no gradient: comparisons, logic, the place of the largest, other types."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dlcourse.autograd.function import WithoutGradient
from dlcourse.interop.onnx.graph import Unsayable, Value
from dlcourse.interop.onnx.step import Step, exports

__all__: list[str] = []


def _compared(op: str, otherwise: bool = False) -> Callable:
    """Of two in one type, as NumPy compares them; ``otherwise`` where it does not hold."""

    def write(step: Step, a: Value, b: Any) -> Value:
        found = step.graph.node(op, *_alike(step, a, b, flags=op == "Equal"), dtype=bool)
        return ~found if otherwise else found

    return write


def _bits(op: str) -> Callable:
    """Of booleans; of whole numbers bit by bit."""

    def write(step: Step, *operands: Any) -> Value:
        kind = step.dtype
        several = [_value(step, x).cast(kind) for x in operands]
        return step.graph.node(op if kind.kind == "b" else f"Bitwise{op}", *several)

    return write


def _logical(op: str) -> Callable:
    return lambda step, *operands: step.graph.node(op, *(_value(step, x).cast(bool) for x in operands))


def _over(step: Step) -> tuple[Any, bool]:
    """The axis or axes of a reduction, None for all, and whether they stay."""
    return step.setting(lambda f: (f.settings["axis"], f.settings["keepdims"]))


def _place(op: str) -> Callable:
    """Where the largest or smallest element is, of all where no axis is named."""

    def write(step: Step, x: Value) -> Value:
        axis, keepdims = _over(step)
        if axis is None:
            flat = step.graph.node("Reshape", x, np.array([-1], dtype=np.int64))
            found = step.graph.node(op, flat, dtype=np.int64, axis=0, keepdims=0)
            return step.graph.node("Reshape", found, np.array([1] * x.ndim, dtype=np.int64)) if keepdims else found
        return step.graph.node(op, x, dtype=np.int64, axis=axis, keepdims=int(keepdims))

    return write


def _whether(kind: str) -> Callable:
    """Whether any is true, or all are: the largest or the smallest of 0 and 1."""

    def write(step: Step, x: Value) -> Value:
        axis, keepdims = _over(step)
        axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
        return step.graph.reduce(kind, x.cast(bool).cast(np.int64), list(axes), keepdims).cast(bool)

    return write


def _whole_quotient(step: Step, a: Any, b: Any) -> Value:
    """Below the quotient, where ONNX's division of whole numbers cuts towards 0."""
    a, b = (_value(step, x).cast(step.dtype) for x in (a, b))
    return step.graph.node("Floor", a / b) if step.dtype.kind == "f" else (a - step.graph.node("Mod", a, b)) / b


def _finite(step: Step, x: Value) -> Value:
    return ~(step.graph.node("IsNaN", x, dtype=bool) | step.graph.node("IsInf", x, dtype=bool))


def _one_hot(step: Step, labels: Value) -> Value:
    classes = np.arange(step.setting(lambda f: f.settings["classes"]), dtype=np.int64)
    return step.graph.node("Equal", step.graph.unsqueeze(labels.cast(np.int64), -1), classes, dtype=bool).cast(np.int64)


NODES: dict[str, Callable] = {
    **{"eq": _compared("Equal"), "ne": _compared("Equal", True)},
    **{"lt": _compared("Less"), "le": _compared("LessOrEqual")},
    **{"gt": _compared("Greater"), "ge": _compared("GreaterOrEqual")},
    **{"&": _bits("And"), "|": _bits("Or"), "^": _bits("Xor"), "~": _bits("Not")},
    **{f"logical_{name}": _logical(name.capitalize()) for name in ("and", "or", "xor")},
    **{"argmax": _place("ArgMax"), "argmin": _place("ArgMin"), "any": _whether("Max"), "all": _whether("Min")},
    "isnan": lambda step, x: step.graph.node("IsNaN", x, dtype=bool),
    "isinf": lambda step, x: step.graph.node("IsInf", x, dtype=bool),
    "isfinite": _finite,
    "one_hot": _one_hot,
    "to": lambda step, x: x.cast(step.dtype),
    "floor_divide": _whole_quotient,
}
"""By the operation's name what writes its nodes."""


@exports(WithoutGradient)
def without_gradient(step: Step, *operands: Any) -> Value:
    name = step.function.name
    if name not in NODES:
        raise Unsayable(f"there is no way yet to say {name} in ONNX")
    return NODES[name](step, *operands)


def _value(step: Step, x: Any) -> Value:
    return x if isinstance(x, Value) else step.graph.constant(np.asarray(x))


def _alike(step: Step, a: Value, b: Any, flags: bool) -> list[Value]:
    """Two operands of a comparison in one type; a number in that of the values, unless those are whole and it is not.

    Args:
        flags: whether booleans may stay.
    """
    if not isinstance(b, Value | int | float):
        raise Unsayable(f"a comparison with {b!r}")
    kind = np.result_type(a.dtype, b.dtype if isinstance(b, Value) else type(b)(0))
    if kind.kind in "iu" or (kind.kind == "b" and not flags):
        kind = np.dtype(np.int64)
    return [_value(step, x).cast(kind) for x in (a, b)]
