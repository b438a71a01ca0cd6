"""Values laid over a config: ``model.hidden.0=64`` from the command line, ``{"model.degree": 3}`` from Python."""

import copy
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from dlcourse.characters import encodable
from dlcourse.config.reader import Path, dotted, parse_yaml
from dlcourse.config.section_schema import plain
from dlcourse.errors import ConfigError, Problem

Overrides = Mapping[str, Any] | Sequence[str]
"""``{"train.epochs": 2}`` or ``["train.epochs=2"]``."""

_PATHS_AS_KEYS = {("sweep", "grid"), ("sweep", "zip"), ("sweep", "random", "space")}
"""Sections whose keys are themselves dotted paths."""

_LONE_TEXTS = frozenset(",:;|-#*&!%@`>?]} \t")
"""Characters that are no value of their own in YAML; alone after ``=`` they are text, as in ``data.delimiter=,``."""

_UNREADABLE = tuple(",*%@`|>")
"""What YAML reads no text from that begins with it."""


def parse_overrides(overrides: Overrides) -> tuple[dict[str, Any], str]:
    """Overrides as a mapping of dotted paths to values, and what to call their source in a message.

    A text is split at its first ``=``; what follows is read as the same YAML as in a file. A lone mark that YAML
    has another use for, such as a comma or a tab, is text.

    Raises:
        ConfigError: a text without ``=`` or with malformed YAML, or a value that no config holds; all at once.
    """
    if isinstance(overrides, Mapping):
        return {path: plain(value, path) for path, value in overrides.items()}, "overrides"
    source = "command line"
    if isinstance(overrides, str):
        raise ConfigError(f"overrides: expected a mapping or a list of key=value, got the text {overrides!r}")
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for text in overrides:
        path, equals, value = text.partition("=")
        path = path.strip()
        if not equals or not all(path.split(".")):
            problems.append(Problem("", f"expected key=value, such as train.epochs=2, got {text!r}", source))
            continue
        if not encodable(text):
            problems.append(Problem(path, "bytes that are not UTF-8 are not text; rename such a file", source))
            continue
        if path in found:
            problems.append(Problem(path, "given twice", source))
        try:
            found[path] = value if value in _LONE_TEXTS else parse_yaml(value).data
        except ConfigError as error:
            quoted = _quoted(path, value)
            problems += [Problem(path, f"{each.message}, in {text!r}{quoted}", source) for each in error.problems]
    if problems:
        raise ConfigError(problems)
    return found, source


def _quoted(path: str, value: str) -> str:
    """How a text that YAML cannot read is written on the command line; empty for what is hardly meant as one."""
    if not value.startswith(_UNREADABLE):
        return ""
    as_text = json.dumps(value, ensure_ascii=False)
    return f"; in quotes it is a text: {shlex.quote(f'{path}={as_text}')}"


def is_override(text: str) -> bool:
    """Whether an argument of the command line is ``key=value``, and not a file of such a name."""
    return "=" in text and not os.path.exists(text)


def apply_overrides(given: dict[str, Any], overrides: Mapping[str, Any]) -> tuple[dict[str, Any], list[Path]]:
    """A copy of a config with other values, and the paths that they are at.

    Mappings on the way are made where there are none; a component given by its name alone becomes a mapping.

    Raises:
        ConfigError: a path leads through a value that is no mapping, or to an index that a list does not have.
    """
    given = copy.deepcopy(given)
    paths = []
    for text, value in overrides.items():
        paths.append(_set(given, split_path(text), copy.deepcopy(value)))
    return given, paths


def split_path(text: str) -> Path:
    """``"model.hidden.0"`` as ``("model", "hidden", "0")``; what ``sweep.grid`` holds is one key, dots and all."""
    path: Path = tuple(text.split("."))
    for section in _PATHS_AS_KEYS:
        if path[: len(section)] == section and len(path) > len(section):
            return (*section, ".".join(map(str, path[len(section) :])))
    return path


def _set(top: dict[str, Any], path: Path, value: Any) -> Path:
    """Put a value at a path; returns the path with its list indices as numbers."""
    there: Any = top
    walked: list[str | int] = []
    step: Any
    for step in path:
        if isinstance(there, list):
            step = _index(there, str(step), tuple(walked))
        elif not isinstance(there, dict):
            raise ConfigError([Problem(dotted(path), f"{dotted(walked)} is {there!r}, which has no keys")])
        walked.append(step)
        if len(walked) == len(path):
            there[step] = value
            break
        inner = there[step] if isinstance(there, list) else there.get(step)
        if inner is None:
            inner = {}
        elif isinstance(inner, str):  # `loss: mse` is `loss: {name: mse}`.
            inner = {"name": inner}
        there[step] = inner
        there = inner
    return tuple(walked)


def _index(there: list[Any], step: str, path: Path) -> int:
    if step.isdecimal() and int(step) < len(there):
        return int(step)
    indices = f"0 to {len(there) - 1}" if there else "none, as it is empty"
    raise ConfigError([Problem(dotted((*path, step)), f"{dotted(path)} is a list; its indices are {indices}")])
