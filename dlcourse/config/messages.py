"""Pydantic's errors in the words of a config: where, what was expected, what came, what to write."""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic_core import ErrorDetails

from dlcourse.characters import odd_characters
from dlcourse.config.reader import Path, Refused, parse_scalar
from dlcourse.config.sections import PATTERNS
from dlcourse.registry import hint, nearest

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "null",
    "greater_than": "{number} above {gt}",
    "greater_than_equal": "{number} of at least {ge}",
    "less_than": "{number} below {lt}",
    "less_than_equal": "{number} of at most {le}",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "literal_error": "{expected}",
}
_NUMBERS = ("int_type", "float_type", "greater", "less")


def show(value: Any, longest: int = 60) -> str:
    """A value as a config would have it, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def unknown_key(key: str, valid: Iterable[str], of: str = "") -> str:
    """``unknown key (did you mean 'lr'? valid: lr, momentum)``."""
    valid = list(valid)
    shown = "" if key else " ''"  # The path shows any other key.
    return f"unknown key{shown}{f' of {of}' if of else ''} ({hint(key, valid)}valid: {', '.join(valid) or 'none'})"


def odd(text: str, meant: str | None = None) -> str:
    """``it holds U+00A0 NO-BREAK SPACE; `` where a text has characters that cannot be seen, or look like others."""
    found = odd_characters(text, meant)
    return f"it holds {found}; " if found else ""


def explain(errors: list[ErrorDetails], value: Any, annotation: Any) -> Iterator[tuple[Path, str]]:
    """Each problem of a value as its path within the value, and a message.

    Args:
        errors: of validating ``[value]``, so each location starts with 0.
        value: what was validated.
        annotation: its type.
    """
    errors_at: dict[Path, list[ErrorDetails]] = defaultdict(list)
    branches: dict[Path, set[Path]] = defaultdict(set)
    for error in errors:
        path, union = _locate(error, value)
        errors_at[path].append(error)
        if union is not None:
            branches[union].add(path)
    # A value that no branch of a union takes has errors of every branch. The branch that was meant is the one whose
    # errors lie deeper inside: [1, "x"] is a wrong list of numbers, and not a wrong number.
    for union, paths in branches.items():
        if len(paths) > 1 and union in paths:
            errors_at.pop(union, None)
    for path, there in errors_at.items():
        yield path, _message(there, _at(value, path), annotation, path)


def _locate(error: ErrorDetails, value: Any) -> tuple[Path, Path | None]:
    """The path in the value, and where on it a union stands: pydantic's locations also name branches of unions."""
    path: list[str | int] = []
    union = None
    *_, final = (None, *error["loc"])
    for step in error["loc"][1:]:
        absent = error["type"] == "missing" and step is final
        if isinstance(value, dict) and (step in value or absent):
            path.append(step)
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            if step < len(value):
                path.append(step)
                value = value[step]
        else:
            union = tuple(path)
    return tuple(path), union


def _at(value: Any, path: Path) -> Any:
    for step in path:
        if isinstance(value, dict) and step not in value:
            return None
        value = value[step]
    return value


def _message(errors: list[ErrorDetails], value: Any, annotation: Any, path: Path) -> str:
    kinds = {error["type"] for error in errors}
    if kinds & {"unexpected_keyword_argument", "extra_forbidden"}:
        return unknown_key(str(path[-1]), _fields(annotation))
    if "missing" in kinds:
        short = [error["loc"][-1] for error in errors if isinstance(error["loc"][-1], int)]
        if short:
            return f"expected {max(short) + 1} entries, got {len(value)}"
        return "required, but missing"
    wanted = " or ".join(dict.fromkeys(_expected(error) for error in errors))
    fix = _hint(errors, value) or (_as_mapping(value, annotation) if "mapping" in wanted else "")
    return f"expected {wanted}, got {show(value)}{fix}"


SAME = {
    **dict.fromkeys(("gpu", "GPU", "CUDA", "nvidia"), "cuda"),
    **dict.fromkeys(("CPU", "cpu:0"), "cpu"),
    **dict.fromkeys(("float16", "f16", "half"), "fp16"),
    "bfloat16": "bf16",
    **dict.fromkeys(("fp32", "f32", "float", "single"), "float32"),
    **dict.fromkeys(("fp64", "f64", "double"), "float64"),
}
"""Words for what has another name here, and is not near it in letters, or nearer to a wrong one: fp32 to tf32."""


def _expected(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], f"text that matches {context['pattern']}")
    if kind == "literal_error":
        return re.sub(r"'([\w.:-]+)'", r"\1", context["expected"])
    if kind in _EXPECTED:
        whole = any(isinstance(bound, int) for bound in context.values())
        bounds = {name: _number(value) for name, value in context.items()}
        return _EXPECTED[kind].format(number="a whole number" if whole else "a number", **bounds)
    return error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")


def _number(value: Any) -> str:
    """A bound in few digits, or in all where these are another number."""
    short = f"{value:g}" if isinstance(value, int | float) else str(value)
    return str(value) if isinstance(value, int) and float(short) != value else short


def _hint(errors: list[ErrorDetails], value: Any) -> str:
    """What to write instead, where that is known."""
    kinds = " ".join(error["type"] for error in errors)
    if isinstance(value, str):
        expected = " ".join(error["ctx"]["expected"] for error in errors if error["type"] == "literal_error")
        valid = re.findall(r"'([^']*)'", expected)
        if "auto, cpu, cuda" in _expected(errors[0]):
            valid = ["auto", "cpu", "cuda"]
        close = nearest(value, valid) if SAME.get(value) not in valid else SAME[value]
        if close:
            return f" ({odd(value, close)}did you mean {close!r}?)"
        if kinds and all(kind in ("list_type", "tuple_type") for kind in kinds.split()):
            return f": write [{value}]"
        if odd(value):
            return f" ({odd(value)}type it anew)"
        if any(number in kinds for number in _NUMBERS) and _reads_as_number(value):
            return ", which is text: take off the quotes"
    if "string_type" in kinds and isinstance(value, bool | int | float):
        return ": put it in quotes"
    if "int_" in kinds and isinstance(value, float) and value.is_integer():
        return f": write {int(value)}"
    return ""


def _as_mapping(value: Any, annotation: Any) -> str:
    """What to write where a mapping with keys of its own is expected, as its class shows it."""
    if isinstance(value, Mapping):
        return ""
    if value is None:
        return ": what belongs to it stands below it, indented"
    return next((f": write {each.EXAMPLE}" for each in _dataclasses(annotation) if hasattr(each, "EXAMPLE")), "")


def _reads_as_number(text: str) -> bool:
    try:
        return isinstance(parse_scalar(text), int | float)
    except Refused:
        return False


def _fields(annotation: Any) -> list[str]:
    """The fields of all dataclasses in a type."""
    return [field.name for each in _dataclasses(annotation) for field in dataclasses.fields(each)]


def _dataclasses(annotation: Any) -> Iterator[type[Any]]:
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        yield annotation
    for inner in get_args(annotation):
        yield from _dataclasses(inner)
