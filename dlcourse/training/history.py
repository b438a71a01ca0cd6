"""History: one JSON line in ``metrics.jsonl`` for each event, none twice and none lost, however often it is resumed."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcourse.filesystem import sync
from dlcourse.records.reading import parse_events
from dlcourse.records.run import Event
from dlcourse.records.writing import append
from dlcourse.training.atomic import finite, reporting_write_errors, write_bytes
from dlcourse.training.callback import Callback, Every


class History(Callback):
    """Writes ``train`` lines at log points; other callbacks write theirs through :meth:`record`.

    A checkpoint keeps how many lines there were; a resumed run cuts the file back to them before it goes on. The lines
    lie in the file alone, so that memory does not grow with them.

    Args:
        path: the file; None keeps the events in memory.
        log_every: steps between ``train`` lines. The first step has one too.
        say: told of lines that were damaged and are dropped.
    """

    name = "history"

    def __init__(self, path: Path | None, log_every: int, say: Callable[[str], None] | None = None):
        self.path, self._say = path, say
        self.due: Every = Every(log_every, first=True)
        self._lines = 0
        self._kept: list[Event] = []  # without a file
        self.loss: float | None = None
        self._keep = 0
        self._began = time.perf_counter()

    def start(self, trainer: Any) -> None:
        if self.path is not None:
            with reporting_write_errors(self.path):
                last = self._cut(self.path, trainer.step)
            # The clock goes on from the last line that is kept: seconds are those spent training, over all sittings.
            self._began -= last.get("seconds", 0.0)

    def after_step(self, trainer: Any) -> None:
        if trainer.loss is None:
            return
        trainer.call("before_sync")
        self.loss = trainer.loss.item()
        self.record(trainer, "train", loss=self.loss, lr=trainer.lr)

    def record(self, trainer: Any, event: str, **values: Any) -> None:
        """Write one line: where the run stands, and these values; None for those that are infinite or NaN.

        Raises:
            DlcourseError: the line cannot be written.
        """
        line = finite({"event": event, **trainer.position(), "seconds": round(self.seconds, 4), **values})
        self._lines += 1
        if self.path is None:
            self._kept.append(line)
            return
        with reporting_write_errors(self.path), append(self.path) as file:
            file.write(json.dumps(line, allow_nan=False).encode() + b"\n")

    @property
    def events(self) -> list[Event]:
        """All lines so far, read from the file at each call.

        Raises:
            DlcourseError: the file cannot be read.
        """
        if self.path is None:
            return list(self._kept)
        if not self._lines:
            return []
        with reporting_write_errors(self.path):
            return [event for event in parse_events(self.path.read_bytes())[: self._lines] if event is not None]

    @property
    def seconds(self) -> float:
        """Time spent so far."""
        return time.perf_counter() - self._began

    def sync(self) -> None:
        """Make sure that the lines are on the disk: a checkpoint that counts them is about to be written."""
        if self.path is not None:
            with reporting_write_errors(self.path), append(self.path) as file:
                sync(file.fileno(), self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"lines": self._lines}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._keep = state["lines"]

    def _cut(self, path: Path, step: int) -> Mapping[str, Any]:
        """Cut the file back to the lines that the checkpoint of that step knows; gives the last one, {} without any.

        Where some of them are damaged or missing the others no longer stand where they stood: those are kept that tell
        of earlier steps.
        """
        content = path.read_bytes() if path.exists() else b""
        events = parse_events(content)
        lines = content.split(b"\n")
        kept: Sequence[int] = range(min(self._keep, len(events)))
        lost = self._keep - sum(events[i] is not None for i in kept)
        if lost:
            told = [(i, event["step"]) for i, event in enumerate(events) if event is not None]
            kept = [i for i, at in told if at < step or (i < self._keep and at == step)]
            write_bytes(path, b"".join(lines[i] + b"\n" for i in kept))
            if self._say is not None:
                said = f"{lost} of the {self._keep} lines up to step {step} are damaged or missing and are dropped"
                self._say(f"{path}: {said}")
        else:
            with append(path) as file:
                file.truncate(sum(len(lines[i]) + 1 for i in kept))
        self._lines = len(kept)
        return (events[kept[-1]] or {}) if kept else {}
