"""History: one JSON line in ``metrics.jsonl`` for each event, none twice and none lost, however often it is resumed."""

import contextlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcourse import backend
from dlcourse.backend.device import Array
from dlcourse.filesystem import sync
from dlcourse.records.reading import parse_events
from dlcourse.records.run import Event
from dlcourse.records.writing import append
from dlcourse.training.atomic import finite, reporting_write_errors, write_bytes
from dlcourse.training.callback import Callback, Every, Whenever


class History(Callback):
    """Writes ``train`` lines at log points; other callbacks write theirs through :meth:`record`.

    Where a device takes several steps at once, their losses wait there: it is not waited for at a log point, but when
    it is waited for anyway, the lines of all log points until then are written.

    A checkpoint keeps how many lines there were; a resumed run cuts the file back to them before it goes on. The lines
    lie in the file alone, so that memory does not grow with them.

    Args:
        path: the file; None keeps the events in memory.
        log_every: steps between ``train`` lines. The first step has one too.
        say: gets a note of lines that were damaged and are dropped.
    """

    name = "history"

    def __init__(self, path: Path | None, log_every: int, say: Callable[[str], None] | None = None):
        self.path, self._say = path, say
        self.due: Every | Whenever = Every(log_every, first=True)
        self._log_points = Every(log_every, first=True)
        self._unread: list[tuple[Array, int, Event]] = []  # losses on the device, which of them, and the line's rest
        self._collected = 0
        self._lines = 0
        self._in_memory: list[Event] = []  # without a file
        self.loss: float | None = None
        self.listeners: list[Callable[[Sequence[Event]], None]] = []
        """Called with new lines once they are written."""
        self._known = 0
        self.use_clock(time.perf_counter)

    def use_clock(self, clock: Callable[[], float]) -> None:
        """Take another clock, from now on: of several runs in lockstep one that goes so much slower.

        Args:
            clock: gives seconds from any beginning.
        """
        self._clock, self._began = clock, clock()

    def start(self, trainer: Any) -> None:
        if trainer.train_step.runner.takes_several:
            self.due, self._collected = Whenever(), trainer.step
        if self.path is not None:
            with reporting_write_errors(self.path):
                last = self._cut(self.path, trainer.step)
            # The clock goes on from the last line that stays: seconds are those spent training, over all sittings.
            self._began -= last.get("seconds", 0.0)

    def after_step(self, trainer: Any) -> None:
        if trainer.loss is None:
            return
        if isinstance(self.due, Every):
            trainer.call("before_sync")
            self.loss = trainer.loss.item()
            counted = {} if trainer.evaluations is None else {"evaluations": trainer.evaluations}
            self.record(trainer, "train", loss=self.loss, lr=trainer.lr, **counted)
            return
        first = trainer.step == len(trainer.losses)
        self._collect(trainer)
        if first:  # the very first step's line soon: it shows that training goes on
            trainer.call("before_sync")

    def before_sync(self, trainer: Any) -> None:
        self._read(finite_only=False)

    def finish(self, trainer: Any) -> None:
        self.before_sync(trainer)

    def close(self, trainer: Any) -> None:
        # Something else ended training, if lines are left; of a broken device nothing can be read any more.
        with contextlib.suppress(Exception):
            self._collect(trainer)
            self._read(finite_only=True)

    def _collect(self, trainer: Any) -> None:
        """Keep what the lines of the log points among the last steps will say, their losses still on the device."""
        if trainer.losses is None or isinstance(self.due, Every) or self._collected >= trainer.step:
            return
        first, self._collected = trainer.step - len(trainer.losses), trainer.step
        step = self._log_points.next(first)
        while step <= trainer.step:
            line = self._line(trainer, "train", step, loss=None, lr=trainer.train_step.lr_at(step - 1))
            self._unread.append((trainer.losses, step - first - 1, line))
            step = self._log_points.next(step)

    def _read(self, finite_only: bool) -> None:
        """Write the lines whose losses still lie on the device, the last ones left out from one that is no number."""
        unread, self._unread = self._unread, []
        if not unread:
            return
        picked = [losses[index : index + 1] for losses, index, _ in unread]
        values = backend.to_host(backend.array_module(picked[0]).concatenate(picked)).tolist()
        wrong = next((i for i, value in enumerate(values) if finite_only and not math.isfinite(value)), len(values))
        lines = [line for *_, line in unread[:wrong]]
        for line, value in zip(lines, values, strict=False):
            line["loss"] = value
        self._write(lines)
        self.loss = values[-1]

    def record(self, trainer: Any, event: str, step: int | None = None, **values: Any) -> None:
        """Write one line: where the run stands, or stood at an earlier step, and these values; None for those that are
        infinite or NaN.

        Raises:
            DlcourseError: the line cannot be written.
        """
        self._write([self._line(trainer, event, step, **values)])

    def _line(self, trainer: Any, event: str, step: int | None, **values: Any) -> Event:
        line: Any = {"event": event, **trainer.position(step), "seconds": round(self.seconds, 4), **values}
        return line

    def _write(self, events: Sequence[Event]) -> None:
        lines = [finite(event) for event in events]
        self._lines += len(lines)
        if self.path is None:
            self._in_memory += lines
        else:
            with reporting_write_errors(self.path), append(self.path) as file:
                file.write(b"".join(json.dumps(line, allow_nan=False).encode() + b"\n" for line in lines))
        for listener in self.listeners:
            listener(lines)

    @property
    def events(self) -> list[Event]:
        """All lines so far, read from the file at each call.

        Raises:
            DlcourseError: the file cannot be read.
        """
        if self.path is None:
            return list(self._in_memory)
        if not self._lines:
            return []
        with reporting_write_errors(self.path):
            return [event for event in parse_events(self.path.read_bytes())[: self._lines] if event is not None]

    @property
    def seconds(self) -> float:
        """Time spent so far."""
        return self._clock() - self._began

    def sync(self) -> None:
        """Make sure that the lines are on the disk: a checkpoint that counts them is about to be written."""
        if self.path is not None:
            with reporting_write_errors(self.path), append(self.path) as file:
                sync(file.fileno(), self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"lines": self._lines}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._known = state["lines"]

    def _cut(self, path: Path, step: int) -> Mapping[str, Any]:
        """Cut the file back to the lines that the checkpoint of that step knows; gives the last one, {} without any.

        Where some of them are damaged or missing the others no longer stand where they stood: those of earlier steps
        stay.
        """
        content = path.read_bytes() if path.exists() else b""
        events = parse_events(content)
        lines = content.split(b"\n")
        chosen: Sequence[int] = range(min(self._known, len(events)))
        lost = self._known - sum(events[i] is not None for i in chosen)
        if lost:
            steps = [(i, event["step"]) for i, event in enumerate(events) if event is not None]
            chosen = [i for i, at in steps if at < step or (i < self._known and at == step)]
            write_bytes(path, b"".join(lines[i] + b"\n" for i in chosen))
            if self._say is not None:
                loss = f"{lost} of the {self._known} lines up to step {step} are damaged or missing and are dropped"
                self._say(f"{path}: {loss}")
        else:
            with append(path) as file:
                file.truncate(sum(len(lines[i]) + 1 for i in chosen))
        self._lines = len(chosen)
        return (events[chosen[-1]] or {}) if chosen else {}
