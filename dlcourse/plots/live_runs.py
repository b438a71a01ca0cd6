"""Runs as they grow: found below folders, each ``metrics.jsonl`` read on from where it was read to."""

import math
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlcourse.characters import visible
from dlcourse.errors import DlcourseError
from dlcourse.plots.reading import as_dict
from dlcourse.records.reading import parse_events, parse_json

MAX_RUNS = 1000
MAX_DEPTH = 6
MAX_BYTES = 4 << 20
"""Of a file in one reading: a longer one is read by several."""
MAX_ROWS = 5000
"""In one answer."""

Row = tuple[float, float | None, float | None, dict[str, float | None]]
"""Step, epoch, seconds, and values by ``split.metric`` (``train.loss`` at log points, ``lr``)."""


@dataclass
class LiveRun:
    """One run and the rows of its ``metrics.jsonl`` that have been read.

    Attributes:
        generation: grows where the file was cut back, as a resumed run does: all rows are then read anew.
    """

    folder: Path
    rows: list[Row] = field(default_factory=list)
    generation: int = 0
    _offset: int = 0
    _file: tuple[int, int] | None = None
    _result: tuple[int, dict[str, Any]] = (-1, {})

    def read_on(self) -> None:
        """Read what was written since; a line that is half written waits for the next time."""
        try:
            with (self.folder / "metrics.jsonl").open("rb") as file:
                stat = os.fstat(file.fileno())
                if (stat.st_dev, stat.st_ino) != self._file or stat.st_size < self._offset:
                    self.generation += self._file is not None
                    self.rows, self._offset, self._file = [], 0, (stat.st_dev, stat.st_ino)
                file.seek(self._offset)
                content = file.read(MAX_BYTES)
        except OSError:
            return
        end = content.rfind(b"\n") + 1
        self._offset += end if end or len(content) < MAX_BYTES else len(content)
        for event in parse_events(content[:end]):
            row = _row(event) if event is not None else None
            if row is not None:
                self.rows.append(row)

    def summary(self, now: float) -> dict[str, Any]:
        """What the list of runs says of it."""
        result = self._read_result()
        step, epoch, seconds, _ = self.rows[-1] if self.rows else (None, None, None, {})
        return {
            "name": visible(str(result.get("name") or self.folder.parent.name)),
            "status": visible(str(result.get("status") or "running")),
            "quiet": max(0, round(now - self._changed())),
            "step": step,
            "epoch": epoch,
            "seconds": seconds,
            "rows": len(self.rows),
            "generation": self.generation,
            "report": is_plain_file(self.folder / "report.html"),
        }

    def _changed(self) -> float:
        for name in ("metrics.jsonl", "config.yaml"):
            try:
                return (self.folder / name).stat().st_mtime
            except OSError:
                continue
        return 0.0

    def _read_result(self) -> dict[str, Any]:
        path = self.folder / "result.json"
        try:
            changed = path.stat().st_mtime_ns
            if changed != self._result[0]:
                self._result = changed, as_dict(parse_json(path.read_bytes()))
        except (OSError, ValueError):
            pass  # there is none yet, or it is damaged: `dlcourse report` says so
        return self._result[1]


def _row(event: Mapping[str, Any]) -> Row | None:
    step = _finite(event.get("step"))
    if step is None:
        return None
    values: dict[str, float | None] = {}
    if event.get("event") == "train":
        values = {"train.loss": _finite(event.get("loss")), "lr": _finite(event.get("lr"))}
    for split, metrics in as_dict(event.get("metrics")).items():
        values |= {visible(f"{split}.{name}"): _finite(value) for name, value in as_dict(metrics).items()}
    epoch, seconds = _finite(event.get("epoch")), _finite(event.get("seconds"))
    return (step, epoch, seconds, values) if values else None


def _finite(value: Any) -> float | None:
    """The number, or None for what JSON has no word for."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    return float(value) if known and math.isfinite(value) else None


class LiveRuns:
    """All runs below some folders, for a server whose requests come in several threads.

    Args:
        roots: folders of runs, of sweeps, or that hold any of them; what appears later is found later.
    """

    def __init__(self, roots: Sequence[Path]):
        self.roots = roots
        self._runs: dict[str, LiveRun] = {}
        self._lock = threading.Lock()

    def summaries(self) -> list[dict[str, Any]]:
        """Every run's, newest folder last; what is new in the files is read."""
        with self._lock:
            for folder in _run_folders(self.roots):
                self._runs.setdefault(folder.as_posix(), LiveRun(folder))
            for gone in [key for key, run in self._runs.items() if not run.folder.is_dir()]:
                del self._runs[gone]
            now = time.time()
            found = []
            for key, run in sorted(self._runs.items()):
                run.read_on()
                found.append({"id": key, **run.summary(now)})
            return found

    def rows(self, key: str, generation: int, start: int) -> dict[str, Any] | None:
        """The rows of a run from one on, or all where it has another generation; None where there is no such run."""
        with self._lock:
            run = self._runs.get(key)
            if run is None:
                return None
            begin = start if generation == run.generation and start >= 0 else 0
            rows = run.rows[begin : begin + MAX_ROWS]
            return {"generation": run.generation, "from": begin, "rows": rows, "total": len(run.rows)}

    def report(self, key: str) -> bytes | None:
        """The ``report.html`` of a run; None where there is none."""
        with self._lock:
            run = self._runs.get(key)
        path = None if run is None else run.folder / "report.html"
        try:
            return path.read_bytes() if path is not None and is_plain_file(path) else None
        except OSError as error:
            raise DlcourseError(f"{path}: cannot be read: {error.strerror}") from error


def is_plain_file(path: Path) -> bool:
    """Whether there is a file, and no link to one elsewhere."""
    return path.is_file() and not path.is_symlink()


def _run_folders(roots: Sequence[Path]) -> Iterator[Path]:
    """Folders with a ``metrics.jsonl`` or a run's first files; links are not followed."""
    count = 0
    for root in roots:
        depth = len(root.parts)
        for place, folders, files in os.walk(root):
            here = Path(place)
            if "metrics.jsonl" in files or {"config.yaml", "environment.json", "result.json"} <= set(files):
                folders.clear()
                yield here
                count += 1
                if count == MAX_RUNS:
                    return
            hidden = len(here.parts) - depth >= MAX_DEPTH
            folders[:] = [] if hidden else sorted(name for name in folders if not name.startswith("."))
