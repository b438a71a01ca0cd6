"""Read the files of a folder forgivingly: what is missing is empty, what is damaged is empty and noted."""

import struct
import tokenize
import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dlcourse.characters import visible
from dlcourse.config import metric_facts
from dlcourse.plots.text import named
from dlcourse.records.check import sound
from dlcourse.records.reading import content_of, parse_events, parse_json
from dlcourse.text import metric_unit

_DAMAGE = (OSError, ValueError, TypeError, KeyError, EOFError, MemoryError, RuntimeError, SyntaxError,
           AttributeError, zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError)  # fmt: skip
"""What reading a damaged archive raises."""


class Folder:
    """A folder and what was wrong with its files.

    Attributes:
        path: the folder.
        damage: one sentence for each file that could not be read, for the report to show.
    """

    file: ClassVar[tuple[str, Any]]
    """Where it says what came of it: ``result.json`` or ``sweep.json``, and the record that this file holds."""

    def __init__(self, path: Path):
        self.path = path
        self.damage: list[str] = []

    @cached_property
    def outcome(self) -> dict[str, Any]:
        """What came of it."""
        return self.json(*self.file)

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config."""
        raise NotImplementedError

    @property
    def target_unit(self) -> str:
        """The target's unit in a regression."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        return str(self.outcome.get("name") or self.config.get("name") or self.path.name)

    @property
    def status(self) -> str:
        return str(self.outcome.get("status") or "unknown")

    def metric_facts(self, metric: str) -> dict[str, Any]:
        """Title, unit and direction of a metric: as the folder says, else as the program knows it."""
        return as_dict(self.outcome.get("metric_facts")).get(metric) or metric_facts(metric)

    def metric_name(self, metric: str) -> str:
        """A metric in words."""
        return self.metric_facts(metric)["title"]

    def metric_label(self, metric: str) -> str:
        """A metric with its unit, for an axis."""
        unit = metric_unit(self.metric_facts(metric)["unit"], self.target_unit)
        # A unit of several words would be squared in its last one only.
        return named(self.metric_name(metric), unit.replace("^2", " squared" if " " in unit else "²"))

    def text(self, name: str) -> str:
        """A file's text, or an empty string."""
        return visible((self._bytes(name) or b"").decode("utf-8", errors="replace"))

    def json(self, name: str, kind: Any) -> dict[str, Any]:
        """A JSON file's keys, as far as they are as that record of :mod:`dlcourse.records` says."""
        content = self._bytes(name)
        return {} if content is None else self.record(content, name, kind)

    def record(self, content: bytes, name: str, kind: Any) -> dict[str, Any]:
        """As :meth:`json`, of a text that was read from the file ``name``."""
        try:
            value, faults = sound(parse_json(content), kind)
        except ValueError as error:
            self._note(name, error)
            return {}
        for fault in faults:
            self._note(name, fault)
        return _visible(value)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The objects of a JSON-lines file; a last line that a crash cut off is left out, others are noted."""
        events = parse_events(self._bytes(name) or b"")
        found = [_visible(event) for event in events if event is not None]
        if len(found) < len(events):
            self._note(name, f"{len(events) - len(found)} of {len(events)} lines are damaged")
        return found

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of an npz file, never unpickled; or none."""
        try:
            with open(self.path / name, "rb") as file, np.load(file, allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        except FileNotFoundError:
            return {}
        except _DAMAGE as error:
            self._note(name, error)
            return {}

    def yaml(self, name: str) -> dict[str, Any]:
        """A YAML mapping, or an empty one."""
        import yaml

        text = self.text(name)
        try:
            value = yaml.safe_load(text) if text else {}
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            self._note(name, error)
            return {}
        return _visible(value) if isinstance(value, dict) else {}

    def _bytes(self, name: str) -> bytes | None:
        """A file's content; None where there is none."""
        try:
            return content_of(self.path / name)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._note(name, error)
            return None

    def _note(self, name: str, reason: object) -> None:
        first_line = visible(str(reason).partition("\n")[0])
        self.damage.append(f"{name} could not be read ({first_line})")


def _visible(value: Any) -> Any:
    """JSON with all its texts as an image and a page show them: in one line, and without control characters."""
    if isinstance(value, str):
        return visible(value).replace("\n", "\\n").replace("\t", " ")
    if isinstance(value, dict):
        return {_visible(key): _visible(each) for key, each in value.items()}
    return [_visible(each) for each in value] if isinstance(value, list) else value


def as_float(value: Any) -> float:
    """A JSON value as a float; what is no number is NaN."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def as_dict(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}
