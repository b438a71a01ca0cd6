"""YAML to plain data, with the line of every value, and everything that a config has no use for refused by name.

PyYAML's scanner and parser give events; the tree is built here, without recursion, so that depth is ours to bound and
no tag can construct anything. Scalars follow YAML 1.2's core schema and not PyYAML's YAML 1.1:

===============  =====================  ==========================
written          PyYAML ``safe_load``   here
===============  =====================  ==========================
``1e-3 1e3``     text                   0.001, 1000.0
``on off yes``   true, false, true      text
``010``          8                      10
``1:30``         90                     text
``2024-01-31``   a date                 text
``.nan .inf``    not a number, infinity refused
``a: 1, a: 2``   the last               refused
``&x *x !!tag``  shared or constructed  refused
===============  =====================  ==========================

A key is always text, also where it looks like a number.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from dlcourse.errors import ConfigError, Problem

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_PROBLEMS = 100
"""Further problems are not listed: few users correct more at once."""
LONGEST_NUMBER = 100
"""Digits; Python itself refuses to convert more than 4300."""

Path = tuple[str | int, ...]
"""Keys and list indices from the top of a document to a value."""

# The scanner and parser in C, where PyYAML was built with them: a file of 1 MiB takes them 0.1 s instead of 10.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = frozenset(["", "~", "null", "Null", "NULL"])
_BOOL = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INT = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_BASED = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(_[0-9]+)*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_TIGHT_KEY = re.compile(r"([A-Za-z_][\w.]*):([^\s:/\\].*)")
"""A key whose colon no space follows."""

_HINTS = {
    "cannot start any token": "put text that starts with it in quotes",
    "mapping values are not allowed": "a second ': ' in one value; put text that holds it in quotes",
}


@dataclass
class Document:
    """A parsed document: its data, and the line (from 1) of every value by its path."""

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)


class Refused(ValueError):
    """A scalar that no config can hold."""


def dotted(path: Iterable[str | int]) -> str:
    """``("model", "hidden", 0)`` as ``model.hidden.0``."""
    return ".".join(map(str, path))


def parse_scalar(text: str) -> Any:
    """What an unquoted word means: null, true or false, a number, or else text.

    Raises:
        Refused: the number is infinite, not a number, or absurdly long.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _SPECIAL.fullmatch(text):
        raise Refused(f"{text} is not a finite number")
    if not (_BASED.fullmatch(text) or _FLOAT.fullmatch(text)):
        return text
    if len(text) > LONGEST_NUMBER:
        raise Refused(f"a number of {len(text)} characters; at most {LONGEST_NUMBER} are read")
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _INT.fullmatch(text):
        return int(text)
    number = float(text)
    if not math.isfinite(number):
        raise Refused(f"{text} is too large for a number")
    return number


def parse_yaml(text: str, file: str = "") -> Document:
    """The one document in ``text``.

    Args:
        text: YAML.
        file: its name, for messages.

    Raises:
        ConfigError: malformed YAML, two documents, a duplicate key, an anchor, alias or tag, a key that is no scalar,
            nesting deeper than ``MAX_DEPTH``, or a number that is not finite; all that can be found at once.
    """
    builder = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except _Stop:
        pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, message = _explain(error, text.splitlines(), mark)
        builder.problems.append(Problem("", message, file, line))
    except yaml.YAMLError as error:
        builder.report((), " ".join(str(error).split()), None)
    if builder.problems:
        raise ConfigError(builder.problems)
    return Document(builder.root, builder.lines)


class _Stop(Exception):
    """There is no sense in reading on."""


def _line(mark: Any) -> int:
    """The line of a mark, counted from 1."""
    return mark.line + 1


@dataclass
class _Open:
    """A mapping or list that is being filled; ``key`` is the mapping's key that waits for its value, and its line."""

    value: dict[str, Any] | list[Any]
    path: Path
    key: str | None = None
    line: int = 0


class _Builder:
    """Builds data from YAML events, collecting problems instead of stopping at the first."""

    def __init__(self, file: str):
        self.file = file
        self.problems: list[Problem] = []
        self.lines: dict[Path, int] = {}
        self.root: Any = None
        self.stack: list[_Open] = []
        self.documents = 0

    def report(self, path: Path, message: str, mark: Any) -> None:
        line = _line(mark) if mark is not None else None
        self.problems.append(Problem(dotted(path), message, self.file, line))
        if len(self.problems) == MAX_PROBLEMS:
            self.problems.append(Problem("", f"and perhaps more after these {MAX_PROBLEMS}", self.file))
            raise _Stop

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents == 2:
                self.report((), "a second document starts here; a config is one document", event.start_mark)
        elif self.documents != 1:
            return
        elif isinstance(event, yaml.AliasEvent):
            self.report(self.path(), f"alias *{event.anchor}: a config has no aliases; write it out", event.start_mark)
            self.put(None, event)
        elif isinstance(event, yaml.ScalarEvent):
            self.refuse_extras(event)
            self.scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self.refuse_extras(event)
            self.open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.stack.pop()

    def refuse_extras(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.anchor:
            self.report(self.path(), f"anchor &{event.anchor}: a config has no anchors", event.start_mark)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.report(self.path(), f"tag {tag}: a config has no tags", event.start_mark)

    def path(self) -> Path:
        """Where the next value goes."""
        if not self.stack:
            return ()
        top = self.stack[-1]
        step = len(top.value) if isinstance(top.value, list) else top.key
        return top.path if step is None else (*top.path, step)

    def scalar(self, event: yaml.ScalarEvent) -> None:
        if self.expects_key():
            top = self.stack[-1]
            top.key, top.line = event.value, _line(event.start_mark)
            if top.key in top.value:
                path = self.path()
                self.report(path, f"duplicate key; the first is in line {self.lines[path]}", event.start_mark)
            return
        value: Any = event.value
        if not value and event.implicit[0] and self.stack and (found := _TIGHT_KEY.fullmatch(self.stack[-1].key or "")):
            self.report(self.path(), _without_space(found), event.start_mark)
        if event.implicit[0]:  # Plain: neither quoted nor a block of text.
            try:
                value = parse_scalar(value)
            except Refused as error:
                self.report(self.path(), str(error), event.start_mark)
                value = None
        if isinstance(value, str) and _NO_TEXT.search(value):
            self.report(self.path(), "a NUL or half of a surrogate pair is not text", event.start_mark)
        self.put(value, event)

    def expects_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None

    def open(self, event: yaml.CollectionStartEvent) -> None:
        if len(self.stack) >= MAX_DEPTH:
            self.report((), f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
            raise _Stop
        value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        if self.expects_key():
            self.report(self.path(), "a key must be plain text, not a list or a mapping", event.start_mark)
            raise _Stop
        path = self.path()
        self.put(value, event)
        self.stack.append(_Open(value, path))

    def put(self, value: Any, event: yaml.Event) -> None:
        path, line = self.path(), _line(event.start_mark)
        if not self.stack:
            self.root = value
        else:
            top = self.stack[-1]
            if isinstance(top.value, list):
                top.value.append(value)
            elif top.key is None:  # An alias as a key, reported already.
                top.key = ""
                return
            else:
                top.value[top.key] = value
                top.key, line = None, top.line  # where its key stands, also if the value begins below
        self.lines.setdefault(path, line)


def _without_space(found: re.Match[str]) -> str:
    return f"a space is missing after the colon: write {found[1]}: {found[2]}"


def _explain(error: yaml.MarkedYAMLError, lines: list[str], mark: Any) -> tuple[int | None, str]:
    """The line and a message; PyYAML's two parsers agree on line and column, not on the wording."""
    at = -1 if mark is None else mark.line
    this = lines[at] if 0 <= at < len(lines) else ""
    character = this[mark.column : mark.column + 1] if this else ""
    line = None if mark is None else _line(mark)
    if character == "\t":
        return line, "a tab; YAML indents with spaces"
    for near, end in ((at, mark.column + 1 if mark else 0), (at - 1, None)):
        # A key without its space is a text, which the next line or bracket shows to be wrong.
        if 0 <= near < len(lines) and (found := _tight_key(lines[near], end)):
            return near + 1, _without_space(found)
    problem = error.problem or error.context or "malformed"
    if message := _misindented(lines, at) if "block" in (error.context or "") or "mapping values" in problem else "":
        return line, message
    if "flow" in (error.context or "") and "expect" in problem and error.context_mark is not None:
        start = error.context_mark
        opened = lines[start.line][start.column : start.column + 1] if start.line < len(lines) else "bracket"
        return line, f"the {opened!r} of line {_line(start)} is not closed, or a comma is missing"
    problem = problem.replace("found character that", f"found character {character!r} that")
    for text, hint in _HINTS.items():
        if text in problem:
            return line, f"{problem} ({hint})"
    context = f", {error.context}" if error.context and error.context != problem else ""
    return line, f"{problem}{context}"


def _tight_key(line: str, end: int | None) -> re.Match[str] | None:
    """The last key of a line that begins before ``end`` and has no space behind its colon."""
    starts = [0, *(found.end() for found in re.finditer("[{,]", line[:end]))]
    parts = [re.split(r"[,}]| #", line[start:])[0].strip() for start in reversed(starts)]
    return next(filter(None, map(_TIGHT_KEY.fullmatch, parts)), None)


def _misindented(lines: list[str], at: int) -> str:
    """What is wrong with the place where a line begins; empty where it begins as one above it."""
    if not 0 <= at < len(lines):
        return ""
    depths: list[int] = []  # those of the mappings that are open there, the innermost first
    for line in reversed(lines[:at]):
        depth = len(line) - len(line.lstrip())
        if line.strip() and not line.lstrip().startswith("#") and (not depths or depth < depths[-1]):
            depths.append(depth)
    own = len(lines[at]) - len(lines[at].lstrip())
    if not depths or own in depths:
        return ""
    known = " or ".join(map(str, sorted(depths)))
    return (
        f"begins after {own} space{'' if own == 1 else 's'}, and the lines above after {known}: keys that belong "
        "together stand in one column"
    )
