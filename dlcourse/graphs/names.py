"""What an operation is called in a drawing."""

import re
from collections.abc import Sequence
from typing import Any

from dlcourse.autograd.function import Function, name_of
from dlcourse.text import format_number

_SIGNS = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "Pow": "**", "MatMul": "@"}
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WHOLE = ("PReLU", "ReLU", "SiLU")
"""Names in which a capital letter begins no word."""


def operation_name(function: Function, operands: Sequence[Any]) -> str:
    """``+`` of two tensors, ``* 2`` and ``1 /`` where one is a number; ``cross_entropy``; ``sum (axis 0)``.

    Args:
        operands: None for one that a graph does not keep.
    """
    name = name_of(function)
    sign = _SIGNS.get(name)
    numbers = [x for x in operands if isinstance(x, int | float)]
    if sign is not None and len(operands) == 2:
        left, right = map(_operand, operands)
        return f"{left} {sign} {right}".strip()
    inner: Any = getattr(function, "function", function)
    if name == "GetItem":
        return _index_text(inner.index)
    axis = getattr(inner, "axis", None)
    settings = [format_number(x, 6) for x in numbers]
    settings += [f"axis {axis}".replace("(", "").replace(",)", "").replace(")", "")] if _is_axis(axis) else []
    return snake_case(name) + (f" ({', '.join(settings)})" if settings else "")


def snake_case(name: str) -> str:
    """``cross_entropy`` of ``CrossEntropy``, ``leaky_relu`` of ``LeakyReLU``."""
    for whole in _WHOLE:
        name = name.replace(whole, whole.capitalize())
    return _WORDS.sub("_", name).lower()


def _operand(x: Any) -> str:
    return format_number(x, 6) if isinstance(x, int | float) else "constant" if x is None else ""


def _index_text(index: Any) -> str:
    """``[0, 1:3]``; an array of indices by its shape."""

    def part(each: Any) -> str:
        if isinstance(each, slice):
            ends = ["" if end is None else str(end) for end in (each.start, each.stop, each.step)]
            return ":".join(ends if ends[2] else ends[:2])
        return "..." if each is Ellipsis else f"index {each.shape}" if hasattr(each, "shape") else str(each)

    return f"[{', '.join(map(part, index if isinstance(index, tuple) else (index,)))}]"


def _is_axis(axis: Any) -> bool:
    return isinstance(axis, int) or (isinstance(axis, tuple) and all(isinstance(each, int) for each in axis))
