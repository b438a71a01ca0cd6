"""Axes as arguments: NumPy's ``axis`` and ``keepdims``, PyTorch's ``dim`` and ``keepdim``, and a clear word where one
is not there."""

import functools
import operator
from typing import Any, TypeVar

import numpy as np

from dlcourse.errors import ArgumentError, ArgumentTypeError, AxisError

Method = TypeVar("Method", bound=Any)

Several = int | tuple[int, ...] | list[int] | None
"""Axes as an argument."""


def several(name: str, shape: tuple[int, ...], axis: Any, dim: Any = None) -> int | tuple[int, ...] | None:
    """The axes of a reduction, counted from 0, or None for all of them.

    Raises:
        AxisError: an axis is not there, or is named twice.
        ArgumentError: both ``axis`` and ``dim`` are given, or one that is no whole number.
    """
    if axis is None and dim is None:
        return None
    if axis is None and isinstance(dim, tuple | list) and not dim:
        return None  # no axes at all are all of them in PyTorch's ``dim``, and none of them in NumPy's ``axis``
    given = _either(name, axis, dim)
    if _is_number(given):
        position = _counted(name, shape, given)
        return position if shape else None
    if not isinstance(given, tuple | list):
        raise ArgumentTypeError(f"{name}: an axis is a whole number or a tuple of them, got {given!r}")
    positions = tuple(_counted(name, shape, one) for one in given)
    if len(set(positions)) < len(positions):
        raise AxisError(f"{name}: an axis is named twice in {tuple(given)} for a tensor of shape {shape}")
    return positions if shape else None


def single(name: str, shape: tuple[int, ...], axis: Any, dim: Any = None) -> int:
    """One axis, counted from 0.

    Raises:
        AxisError: it is not there.
        ArgumentError: both ``axis`` and ``dim`` are given, or none, or one that is no whole number.
    """
    given = _either(name, axis, dim)
    if not _is_number(given):
        raise ArgumentTypeError(f"{name}: expected one axis, a whole number, got {given!r}")
    return _counted(name, shape, given)


def order(name: str, shape: tuple[int, ...], given: tuple) -> tuple[int, ...] | None:
    """All axes in a new order, or None for the reverse.

    Raises:
        AxisError: an axis is not there, missing or named twice.
    """
    if not given:
        return None
    positions = tuple(_counted(name, shape, axis) for axis in given)
    if sorted(positions) != list(range(max(1, len(shape)))):
        raise AxisError(
            f"{name}: an order names each axis once, 0..{len(shape) - 1} of a tensor of shape {shape}, got {given}; "
            f"two numbers swap two axes"
        )
    return positions if shape else None


def keeps_dims(keepdims: bool, keepdim: bool | None) -> bool:
    """Whether reduced axes stay with length 1, by either name."""
    return bool(keepdims if keepdim is None else keepdim)


def also_axis(method: Method) -> Method:
    """A method with PyTorch's ``dim`` (or ``dims``) that takes NumPy's ``axis`` in its place."""
    name = "dims" if "dims" in method.__code__.co_varnames else "dim"

    @functools.wraps(method)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        if "axis" in options:
            options[name] = _either(method.__name__, options.pop("axis"), options.get(name))
        return method(self, *args, **options)

    return call  # type: ignore[return-value]


def refuse_positional(name: str, positional: tuple) -> Any:
    """What stands without a name where only one meaning is possible: a tuple of axes, or None.

    Raises:
        ArgumentTypeError: it is anything else.
    """
    if not positional:
        return None
    given = positional[0]
    if len(positional) == 1 and (given is None or (isinstance(given, tuple | list) and given)):
        return given
    shown = given if _is_number(given) else "..."
    beside = "" if _is_number(given) else f"; the {name}imum of two tensors, element by element, is F.{name}imum(a, b)"
    raise ArgumentTypeError(
        f"{name}({shown}) has two meanings: write {name}(axis={shown}) for the values, as in NumPy, or "
        f"{name}(dim={shown}) for values and indices, as in PyTorch{beside}"
    )


def _either(name: str, axis: Any, dim: Any) -> Any:
    if axis is not None and dim is not None:
        raise ArgumentError(f"{name}: axis={axis!r} and dim={dim!r} name the same thing; give one of them")
    return dim if axis is None else axis


def _is_number(value: Any) -> bool:
    return isinstance(value, int | np.integer)


def _counted(name: str, shape: tuple[int, ...], axis: Any) -> int:
    if isinstance(axis, bool) or not _is_number(axis):
        raise ArgumentTypeError(f"{name}: an axis is a whole number, got {axis!r}")
    position, count = operator.index(axis), max(1, len(shape))  # PyTorch gives a tensor without axes one to name
    if not -count <= position < count:
        raise AxisError(
            f"{name}: there is no axis {position} in a tensor of shape {shape}; expected one of {-count}..{count - 1}"
        )
    return position % count
