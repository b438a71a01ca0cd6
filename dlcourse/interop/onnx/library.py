"""NumPy's functions as ONNX nodes: what the formulas of functions and activations are written in."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dlcourse.interop.onnx.graph import Graph, Unsayable, Value

__all__ = ["Library"]

ONE = {
    **{name: name.capitalize() for name in ("exp", "log", "sqrt", "abs", "tanh", "sin", "cos", "tan", "sinh", "cosh")},
    **{f"arc{name}": f"A{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: name.capitalize() for name in ("sign", "floor", "ceil")},
}
"""Operators of ONNX by NumPy's names."""

COMPOSED: dict[str, Callable[[Any, Any], Any]] = {
    "exp2": lambda xp, x: xp.exp(x * math.log(2)),
    "expm1": lambda xp, x: xp.tanh(0.5 * x) * (xp.exp(x) + 1),
    # Divided by (1 + x) - 1 in place of x: the rounding of 1 + x cancels.
    "log1p": lambda xp, x: xp.where(
        (1 + x).equal(1), x, xp.log(1 + x) * x / xp.where((1 + x).equal(1), 1, (1 + x) - 1)
    ),
    "log2": lambda xp, x: xp.log(x) * (1 / math.log(2)),
    "log10": lambda xp, x: xp.log(x) * (1 / math.log(10)),
    "trunc": lambda xp, x: xp.sign(x) * xp.floor(abs(x)),
    "sinc": lambda xp, x: xp.where(x.equal(0), 1, xp.sin(math.pi * x) / xp.where(x.equal(0), 1, math.pi * x)),
}


class Library:
    """Stands where a formula expects ``numpy``."""

    def __init__(self, graph: Graph):
        self.graph = graph

    def __getattr__(self, name: str) -> Callable:
        if name in ONE:
            return lambda x: self.graph.node(ONE[name], x)
        if name in COMPOSED:
            return lambda x: COMPOSED[name](self, x)
        raise Unsayable(f"NumPy's {name} has no operator in ONNX")

    def where(self, condition: Value, a: Any, b: Any) -> Value:
        return self.graph.where(condition, a, b)

    def minimum(self, a: Value, b: Any) -> Value:
        return self.graph.node("Min", a, b)

    def maximum(self, a: Value, b: Any) -> Value:
        return self.graph.node("Max", a, b)

    def clip(self, x: Value, low: Any, high: Any) -> Value:
        return self.graph.node("Clip", x, low, high)

    def hypot(self, a: Value, b: Value) -> Value:
        return self.sqrt(a * a + b * b)

    def logaddexp(self, a: Value, b: Value) -> Value:
        top = self.graph.node("Max", a, b)
        return top + self.log(self.exp(a - top) + self.exp(b - top))

    def logical_and(self, a: Value, b: Value) -> Value:
        return a & b

    def asarray(self, x: Any) -> Any:
        return x

    def full_like(self, x: Value, number: float) -> Value:
        return x * 0 + np.asarray(number, dtype=x.dtype)
