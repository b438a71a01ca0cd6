"""Read the files of a folder forgivingly: what is missing is empty, what is damaged is empty and noted."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

SPLITS = ("train", "val", "test")


class Folder:
    """A folder and what was wrong with its files.

    Attributes:
        path: the folder.
        damage: one sentence for each file that could not be read, for the report to show.
    """

    def __init__(self, path: Path):
        self.path = path
        self.damage: list[str] = []

    def text(self, name: str) -> str:
        """A file's text, or an empty string."""
        try:
            return (self.path / name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        except OSError as error:
            self._note(name, error)
            return ""

    def json(self, name: str) -> dict[str, Any]:
        """A JSON object, or an empty one."""
        text = self.text(name)
        if not text:
            return {}
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            self._note(name, error)
            return {}
        if not isinstance(value, dict):
            self._note(name, f"expected an object, got {type(value).__name__}")
            return {}
        return value

    def events(self, name: str) -> list[dict[str, Any]]:
        """The objects of a JSON-lines file; a last line that a crash cut off is left out, others are noted."""
        found, bad = [], 0
        lines = self.text(name).split("\n")
        for index, line in enumerate(lines):
            if not line.strip():
                continue
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                bad += index < len(lines) - 1
                continue
            if isinstance(event, dict):
                found.append(event)
            else:
                bad += 1
        if bad:
            self._note(name, f"{bad} lines are no JSON objects")
        return found

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of an npz file, never unpickled; or none."""
        try:
            with np.load(self.path / name, allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, MemoryError) as error:
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
        return value if isinstance(value, dict) else {}

    def _note(self, name: str, reason: object) -> None:
        first_line = str(reason).partition("\n")[0]
        self.damage.append(f"{name} could not be read ({first_line})")


def leading_comment(text: str) -> str:
    """The comment block that a config begins with: its description."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return "\n".join(lines).strip()


def real(value: Any) -> float:
    """A JSON value as a float; what is no number is NaN."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def section(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}
