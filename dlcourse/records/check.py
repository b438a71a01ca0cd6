"""Check a JSON value against a type: the types that the records use, and no more."""

import dataclasses
import functools
import json
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1  # of the types of 64 bits; a seed may fill one without sign
_WORDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text", type(None): "null"}


class Wrong(ValueError):
    """A value is not of its type; says where in the file, what was expected and what came."""


def check(value: Any, kind: Any, location: str = "") -> Any:
    """The value, which has to be of that type; a mapping as the dataclass, where the type is one.

    Args:
        value: as ``json.loads`` gives it.
        kind: Any, None, bool, int, float (whole numbers are fine; NaN and infinity are not, but count as None where
            None may stand), str, ``list[...]``, ``tuple[..., ...]``, ``dict[str, ...]``, a union, a Literal, a
            TypedDict or a dataclass.
        location: the value's path in the file, for the message.
    Raises:
        Wrong: it is of another type.
    """
    if kind is Any:
        return value
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _check_union(value, get_args(kind), location)
    if origin is Literal:
        if not isinstance(value, str) or value not in get_args(kind):
            raise _wrong(location, " or ".join(map(str, get_args(kind))), value)
        return value
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise _wrong(location, "a list", value)
        return origin(check(item, get_args(kind)[0], f"{location}.{index}") for index, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(location, "a mapping", value)
        return {key: check(item, get_args(kind)[1], f"{location}.{key}") for key, item in value.items()}
    if is_typeddict(kind) or dataclasses.is_dataclass(kind):
        return _check_record(value, kind, location)
    if not _is(value, kind):
        raise _wrong(location, _WORDS[kind or type(None)], value)
    return value


def _check_union(value: Any, kinds: tuple[Any, ...], location: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    if isinstance(value, float) and not math.isfinite(value) and type(None) in kinds:
        return None  # as the program itself writes them
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    for kind in kinds[:-1]:
        try:
            return check(value, kind, location)
        except Wrong:
            continue
    return check(value, kinds[-1], location)


def _check_record(value: Any, kind: Any, location: str) -> Any:
    if not isinstance(value, Mapping):
        raise _wrong(location, "a mapping", value)
    hints, required = _fields(kind)
    for name in required:
        if name not in value:
            raise Wrong(f"{_path(location, name)}: missing")
    found = {key: check(item, hints.get(key, Any), f"{location}.{key}") for key, item in value.items()}
    if is_typeddict(kind):
        return found
    try:
        return kind(**{key: item for key, item in found.items() if key in hints})
    except Wrong as error:
        raise Wrong(f"{location}.{error}".strip(".")) from None


def sound(value: Any, kind: Any) -> tuple[dict[str, Any], list[str]]:
    """The keys of a mapping that are as a TypedDict says, and a sentence for each that is not and is left out.

    For readers that show what there is; a key that is missing is left out.
    """
    if not isinstance(value, Mapping):
        return {}, [f"expected a mapping, got {_shown(value)}"]
    hints, _ = _fields(kind)
    found, faults = {}, []
    for key, item in value.items():
        try:
            found[key] = check(item, hints.get(key, Any), str(key))
        except Wrong as error:
            faults.append(str(error))
    return found, faults


@functools.cache
def _fields(kind: Any) -> tuple[dict[str, Any], list[str]]:
    """The types of a record's keys, and those that have to be there."""
    hints = get_type_hints(kind)
    if is_typeddict(kind):
        return {name: _bare(hint) for name, hint in hints.items()}, sorted(kind.__required_keys__)
    missing = dataclasses.MISSING
    fields = dataclasses.fields(kind)
    return hints, [f.name for f in fields if f.default is missing and f.default_factory is missing]


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) in (Required, NotRequired) else hint


def _is(value: Any, kind: Any) -> bool:
    if kind is None or kind is type(None):
        return value is None
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return _MIN_INT <= value <= _MAX_INT if isinstance(value, int) else math.isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and _MIN_INT <= value <= _MAX_INT
    return isinstance(value, kind)


def _wrong(location: str, expected: str, value: Any) -> Wrong:
    return Wrong(f"{_path(location)}: expected {expected}, got {_shown(value)}")


def _path(location: str, name: str = "") -> str:
    return f"{location}.{name}".strip(".") or "the whole"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and not _MIN_INT <= value <= _MAX_INT:
        return "a number of many digits"
    return json.dumps(value)[:60]
