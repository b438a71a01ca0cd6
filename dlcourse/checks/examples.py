"""Arguments to make a component with: what its class gives as ``example``, its defaults, and guesses."""

import inspect
import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types

from dlcourse.checks.outcome import Failure

INPUT, TOKENS = "input", "tokens"
"""The keys of ``example`` that are no arguments, where the constructor has none of that name: the shape of one input,
and how many tokens there are where an input is a sequence of their numbers."""


def arguments(cls: type, parameters: Iterable[inspect.Parameter]) -> dict[str, Any]:
    """A value for each parameter without a default.

    Args:
        cls: its attribute ``example`` goes before guesses, and before defaults.
        parameters: of its constructor, but those that the program supplies.
    Raises:
        Failure: nothing can be guessed, or ``example`` names what is no parameter.
    """
    parameters = list(parameters)
    own, names = example(cls), [parameter.name for parameter in parameters]
    unknown = [key for key in own if key not in names and key not in (INPUT, TOKENS)]
    if unknown:
        raise Failure(f"example names {unknown[0]!r}, which is no parameter; there are: {', '.join(names) or 'none'}")
    found = {}
    for parameter in parameters:
        if parameter.name in own:
            found[parameter.name] = own[parameter.name]
        elif parameter.default is parameter.empty:
            found[parameter.name] = _guess(cls, parameter)
    return found


def example(cls: type) -> dict[str, Any]:
    """What the class says to be checked with: arguments of its constructor, and under ``input`` the shape of one input.

    Raises:
        Failure: it is no mapping.
    """
    found = getattr(cls, "example", {})
    if not isinstance(found, dict):
        raise Failure(f"{cls.__name__}.example: expected a dict of arguments, such as {{'width': 4}}, got {found!r}")
    return found


def _guess(cls: type, parameter: inspect.Parameter) -> Any:
    try:
        return _value(parameter.annotation, parameter.name)
    except LookupError:
        wanted = f"example = {{{parameter.name!r}: ...}}"
        raise Failure(
            f"no value to try for the parameter {parameter}: give the class an attribute {wanted}, or the parameter a "
            "default"
        ) from None


def _value(annotation: Any, name: str) -> Any:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bounded(_value(inner[0], name), inner[1:])
    if origin is Literal:
        return inner[0]
    if origin in (Union, types.UnionType):
        return None if type(None) in inner else _value(inner[0], name)
    if origin in (list, tuple) and inner:
        items = [_value(each, name) for each in inner if each is not Ellipsis]
        return items if origin is list else tuple(items)
    simple = {int: 4, float: 0.1, bool: False}
    if annotation in simple:
        return simple[annotation]
    if annotation is inspect.Parameter.empty and name in ("dim", "features", "channels", "width"):
        return 4
    raise LookupError


def _bounded(value: Any, bounds: Iterable[Any]) -> Any:
    """The value, moved to the bound that it is beyond."""
    for bound in bounds:
        if isinstance(bound, annotated_types.Ge) and value < bound.ge:
            value = bound.ge
        if isinstance(bound, annotated_types.Le) and value > bound.le:
            value = bound.le
    return value
